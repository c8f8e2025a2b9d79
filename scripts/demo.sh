# The main job on the example campaign, in a folder of its own: `make demo`.
set -eu
petition=$1 folder=$2

. "$(dirname "$0")/show.sh"

show preview open-letter --to kim
show check
show send open-letter
show status open-letter
echo "That was a rehearsal in $folder: nobody received anything. Try next:"
echo "  $petition -C $folder log kim"
echo "  $petition -C $folder preview open-letter --to secretariat --browser"
echo "  $petition init my-campaign"
