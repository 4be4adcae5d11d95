# bash completion for healthd; healthd itself computes the completions.
_healthd() {
    mapfile -t COMPREPLY < <(
        IFS=$'\n'
        env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \
            _HEALTHD_COMPLETE=complete_bash "$1" 2>/dev/null
    )
    # An empty line means no completions: complete file names instead.
    [ -n "${COMPREPLY[0]}" ] || COMPREPLY=()
}
complete -o default -F _healthd healthd
