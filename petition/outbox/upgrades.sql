-- Upgrades of the schema (upgrades.py), by the number that each leads to.

-- :name set_schema
-- The log has this schema from now on.
UPDATE meta SET value = :value WHERE name = 'schema'
