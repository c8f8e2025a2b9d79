# Read by the demos: shows a command as it can be typed, runs it in $folder, and ends as it ends.
show() {
    printf '$ petition'
    for word; do
        case $word in
            *[!A-Za-z0-9./_-]*) printf " '%s'" "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
    echo
    "$petition" -C "$folder" "$@"
    echo
}
