# Completion of healthd's command line for bash: healthd itself knows what fits.
_healthd() {
    mapfile -t COMPREPLY < <(
        IFS=$'\n'
        env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \
            _HEALTHD_COMPLETE=complete_bash "$1" 2>/dev/null
    )
    # Nothing is an empty line: file names, then.
    [ -n "${COMPREPLY[0]}" ] || COMPREPLY=()
}
complete -o default -F _healthd healthd
