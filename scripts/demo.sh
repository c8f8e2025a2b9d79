# The main job on the example campaign, in a folder of its own: `make demo`.
set -eu
petition=$1 folder=$2

echo "\$ petition check"
$petition -C "$folder" check
echo
echo "\$ petition send open-letter"
$petition -C "$folder" send open-letter --yes
echo
echo "\$ petition status open-letter"
$petition -C "$folder" status open-letter
echo
echo "\$ petition preview open-letter --to kim"
$petition -C "$folder" preview open-letter --to kim
echo
echo "That was a rehearsal in $folder: nobody received anything. Go on with"
echo "  $petition -C $folder log"
echo "  $petition -C $folder preview open-letter --to secretariat --browser"
echo "  $petition init my-campaign"
