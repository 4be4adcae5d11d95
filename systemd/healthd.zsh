#compdef healthd
# zsh completion for healthd; healthd itself computes the completions. It prints a call of
# _arguments, or of _files if it has no completions.
eval "$(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _HEALTHD_COMPLETE=complete_zsh \
    "${words[1]}" 2>/dev/null)"
