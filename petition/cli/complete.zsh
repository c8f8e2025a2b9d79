#compdef petition
# Completion of petition in zsh. To have it in every new shell:
#   echo 'eval "$(petition completion zsh)"' >>~/.zshrc
_petition() {
    local answer
    local -a before found
    (( CURRENT > 2 )) && before=("${(@Q)words[2,CURRENT-1]}")
    answer=$(command petition __complete zsh "${before[@]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)
    case $? in
        10) _files ;;
        11) _files -/ ;;
        0)
            [[ -n $answer ]] || return 1
            found=("${(@f)answer}")
            _describe -t petition petition found
            ;;
    esac
}
if [[ ${funcstack[1]-} == _petition ]]; then # loaded from a folder of $fpath
    _petition "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _petition petition
fi
