from tests.unit.campaign.conftest import folder

__all__ = ["folder"]
