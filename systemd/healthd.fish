# Completion of healthd's command line for fish: healthd itself knows what fits.
function __healthd_knows
    set --global __healthd_found (env _HEALTHD_COMPLETE=complete_fish \
        _TYPER_COMPLETE_FISH_ACTION=get-args \
        _TYPER_COMPLETE_ARGS=(commandline --cut-at-cursor --current-process) healthd 2>/dev/null)
    # Nothing is an empty line.
    test -n "$__healthd_found[1]"
end
# File names where it has nothing to say.
complete --command healthd --no-files --condition __healthd_knows --arguments '$__healthd_found'
