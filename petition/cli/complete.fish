# Completion of petition in fish. To have it in every new shell:
#   petition completion fish >~/.config/fish/completions/petition.fish
function __petition_complete
    set -l before (commandline -opc)
    # As it is typed: maybe behind an open quotation mark, or with blanks behind backslashes.
    set -l current (commandline -ct | string replace -r '^["\']' '' | string unescape)
    set -l found (command petition __complete fish $before[2..] "$current" 2>/dev/null </dev/null)
    switch $status
        case 10
            __fish_complete_path "$current"
        case 11
            __fish_complete_directories "$current"
        case 0
            string join -- \n $found
    end
end
complete --command petition --no-files --arguments '(__petition_complete)'
