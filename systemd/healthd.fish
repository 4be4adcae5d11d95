# fish completion for healthd; healthd itself computes the completions.
function __healthd_knows
    set --global __healthd_found (env _HEALTHD_COMPLETE=complete_fish \
        _TYPER_COMPLETE_FISH_ACTION=get-args \
        _TYPER_COMPLETE_ARGS=(commandline --cut-at-cursor --current-process) healthd 2>/dev/null)
    # An empty line means no completions.
    test -n "$__healthd_found[1]"
end
# Without completions from healthd, fish completes file names.
complete --command healthd --no-files --condition __healthd_knows --arguments '$__healthd_found'
