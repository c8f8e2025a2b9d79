# The whole story on the example campaign, in a folder of its own: `make demo-answers`.
set -eu
petition=$1 folder=$2 python=$3

. "$(dirname "$0")/show.sh"

printf '\n[inbox]\nurl = "maildir:answers"\n\n[privacy]\nkeep = "2 years"\n' >>"$folder/petition.toml"
show preview open-letter --book book.html
show send open-letter --at 09:00 --print-schedule
show send open-letter
"$python" scripts/come_back.py "$folder"
echo "Now an acknowledgement, a bounce and an offer of a meeting come back; a phone call is answered."
echo
show inbox --once
echo "In a terminal, petition answer without a name shows one mail after the other, and takes a key."
echo
show answer weissenfels meeting --mail '<offer@kaz-minerals.example>'
show answer kim stalled --letter open-letter --channel phone \
    --quote "Nobody is here at the moment, but they know about your letter." --public
show status open-letter --answers
show send follow-up
show report --html report.html
show publish site --rehearsal
show forget --expired --yes
echo "That was a rehearsal: nobody received anything. Look at $folder/book.html,
$folder/report.html and $folder/site/index.html in a browser."
