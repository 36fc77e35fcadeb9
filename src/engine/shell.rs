//! Shells: from `shell:` to an argv and the script's name (runners.md 3.6).

use crate::plan::ir::RunnerKind;

/// How a script is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellPlan {
    /// The script's file name.
    pub script: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The script as it is written to its file.
    pub text: String,
}

/// The plan for `script` in `shell` (none is the default), with its file in `folder`. `bash_here` says whether the host has
/// bash; in containers the default is always `sh`, as on GitHub.
pub fn plan(
    shell: Option<&str>,
    script: &str,
    folder: &str,
    kind: RunnerKind,
    bash_here: bool,
) -> Result<ShellPlan, String> {
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let (extension, mut argv) = match shell.map(str::trim).filter(|s| !s.is_empty()) {
        None if kind != RunnerKind::Docker && bash_here => (".sh", words(&["bash", "-e", "{0}"])),
        None | Some("sh") => (".sh", words(&["sh", "-e", "{0}"])),
        Some("bash") => (".sh", words(&["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "{0}"])),
        Some("python") => (".py", words(&["python", "{0}"])),
        Some("pwsh" | "powershell") => (".ps1", words(&["pwsh", "-command", ". '{0}'"])),
        Some("cmd") => return Err("shell \"cmd\" exists on Windows only; use \"sh\", \"bash\" or \"pwsh\"".to_owned()),
        Some(custom) if custom.contains("{0}") => ("", custom.split_whitespace().map(str::to_owned).collect()),
        Some(custom) => {
            return Err(format!(
                "shell \"{custom}\" has no \"{{0}}\", where the script's file goes; write for example \"{custom} {{0}}\""
            ));
        }
    };
    let name = format!("script{extension}");
    let path = format!("{folder}/{name}");
    for word in &mut argv {
        *word = word.replace("{0}", &path);
    }
    let text = match shell.map(str::trim) {
        Some("pwsh" | "powershell") => format!(
            "$ErrorActionPreference = 'stop'\n{script}\nif ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) {{ exit $LASTEXITCODE }}\n"
        ),
        _ => format!("{script}\n"),
    };
    Ok(ShellPlan { script: name, argv, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(shell: Option<&str>, kind: RunnerKind) -> String {
        plan(shell, "true", "/t", kind, true).expect("a known shell").argv.join(" ")
    }

    #[test]
    fn shells_are_githubs() {
        assert_eq!(argv(None, RunnerKind::Host), "bash -e /t/script.sh");
        assert_eq!(argv(None, RunnerKind::Docker), "sh -e /t/script.sh");
        assert_eq!(argv(Some("bash"), RunnerKind::Host), "bash --noprofile --norc -e -o pipefail /t/script.sh");
        assert_eq!(argv(Some("perl {0}"), RunnerKind::Host), "perl /t/script");
        assert_eq!(argv(Some("python"), RunnerKind::Host), "python /t/script.py");
    }

    #[test]
    fn a_custom_shell_must_say_where_the_script_goes() {
        let error = plan(Some("perl"), "1;", "/t", RunnerKind::Host, true).expect_err("no {0}");
        assert!(error.contains("{0}"), "{error}");
    }
}
