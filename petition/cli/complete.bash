# Completion of petition in bash. To have it in every new shell:
#   echo 'eval "$(petition completion bash)"' >>~/.bashrc
_petition() {
    local found word
    COMPREPLY=()
    found=$(command petition __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null </dev/null)
    case $? in
        10) compopt -o default 2>/dev/null ;;
        11) compopt -o dirnames 2>/dev/null ;;
        0)
            [ -n "$found" ] && while IFS= read -r word; do
                COMPREPLY+=("$word")
            done <<<"$found"
            ;;
    esac
}
complete -F _petition petition
