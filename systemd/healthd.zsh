#compdef healthd
# Completion of healthd's command line for zsh: healthd itself knows what fits, and says it as
# arguments of _arguments, or _files where it has nothing to say.
eval "$(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _HEALTHD_COMPLETE=complete_zsh \
    "${words[1]}" 2>/dev/null)"
