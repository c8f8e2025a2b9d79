# Completion of petition in PowerShell. To have it in every new shell:
#   Add-Content $PROFILE 'petition completion powershell | Out-String | Invoke-Expression'
Register-ArgumentCompleter -Native -CommandName 'petition', 'petition.exe' -ScriptBlock {
    param($current, $line, $cursor)
    $program = Get-Command petition -CommandType Application -ErrorAction Ignore | Select-Object -First 1
    if (-not $program) { return }
    $words = @($line.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursor } |
        ForEach-Object {
            if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value }
            else { $_.Extent.Text }
        }) + $current.Trim("'", '"')
    $encoding = [Console]::OutputEncoding
    try {
        [Console]::OutputEncoding = [System.Text.Encoding]::UTF8
        $env:PETITION_WORDS = $words -join "`n"
        $found = & $program.Source __complete powershell 2>$null
    }
    finally {
        [Console]::OutputEncoding = $encoding
        Remove-Item Env:PETITION_WORDS -ErrorAction Ignore
    }
    foreach ($one in $found) {
        $word, $meaning = $one -split "`t", 2
        if (-not $meaning) { $meaning = $word }
        # PowerShell takes typographic quotation marks for straight ones.
        $typed = if ($word -match '^[\w./:-][\w./:@+=-]*$') { $word }
        else { "'" + ($word -replace "['\u2018\u2019\u201A\u201B]", '$0$0') + "'" }
        [System.Management.Automation.CompletionResult]::new($typed, $word, 'ParameterValue', $meaning)
    }
}
