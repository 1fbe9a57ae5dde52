//! Command lines that messages name, so that they can be copied and do what they say: about the same stack, reached the same way.

use std::borrow::Cow;

use crate::cli::{CodeArgs, Global, PromotionArgs};

/// How command lines of messages are completed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandHint {
    /// The flags that name the stack and the way to it: ` --local --stage prod`.
    pub flags: String,
    /// The command line of this run.
    pub again: String,
}

/// Commands that work on no stack.
const WITHOUT_STACK: [&str; 9] = [
    "init",
    "templates",
    "schema",
    "completions",
    "man",
    "help",
    "local",
    "package",
    "--version",
];

impl CommandHint {
    /// Of this command line: its arguments without the program's name.
    pub fn new(global: &Global, arguments: &[String]) -> Self {
        let words = arguments.iter().map(|word| quoted(word));
        Self {
            flags: flags(global, arguments),
            again: std::iter::once(Cow::Borrowed("taskctl"))
                .chain(words)
                .collect::<Vec<_>>()
                .join(" "),
        }
    }

    /// A command line about the same stack.
    pub fn command(&self, command: &str) -> String {
        format!("taskctl {command}{}", self.flags)
    }

    /// A text whose command lines, in backticks, are about the same stack. Who writes them knows the command alone.
    pub fn complete(&self, text: &str) -> String {
        if self.flags.is_empty() || !text.contains("`taskctl ") {
            return text.to_owned();
        }
        let parts = text
            .split('`')
            .enumerate()
            .map(|(index, part)| match part.strip_prefix("taskctl ") {
                Some(command) if index % 2 == 1 && !self.is_complete(command) => format!("{part}{}", self.flags),
                Some(_) | None => part.to_owned(),
            });
        parts.collect::<Vec<_>>().join("`")
    }

    fn is_complete(&self, command: &str) -> bool {
        let name = command.split(' ').next().unwrap_or_default();
        WITHOUT_STACK.contains(&name) || command.contains(&self.flags)
    }
}

/// The flags that name the same stack and reach it in the same way. What comes from the environment is there for the next command
/// line, too.
fn flags(global: &Global, arguments: &[String]) -> String {
    let target = &global.target;
    let is_given = |name: &str| arguments.iter().any(|word| word.starts_with(name));
    let port = |port: Option<u16>, name: &str| {
        let given = port.filter(|_| target.local && is_given(name));
        given.map(|port| port.to_string())
    };
    let mut flags = String::new();
    if target.local {
        flags.push_str(" --local");
    }
    let given = [
        ("local-port", port(target.local_port, "--local-port")),
        (
            "local-website-port",
            port(target.local_website_port, "--local-website-port"),
        ),
        ("endpoint-url", target.endpoint_url.clone()),
        ("profile", target.profile.clone()),
        ("region", target.region.clone()),
        ("app", target.app.clone()),
        ("stage", (target.stage != "dev").then(|| target.stage.clone())),
        ("file", target.file.as_ref().map(|path| path.display().to_string())),
    ];
    for (name, value) in given {
        push(&mut flags, name, value.as_deref());
    }
    flags
}

/// The flags that make the same code, and treat the release in the same way.
pub fn deploy_flags(code: &CodeArgs, promotion: &PromotionArgs) -> String {
    let mut flags = String::new();
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    push(&mut flags, "handlers", path(&code.build.handlers).as_deref());
    if code.build.release {
        flags.push_str(" --release");
    }
    push(&mut flags, "artifacts", path(&code.artifacts).as_deref());
    if promotion.promote {
        flags.push_str(" --promote");
    }
    if promotion.no_promote {
        flags.push_str(" --no-promote");
    }
    flags
}

fn push(flags: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        flags.push_str(&format!(" --{name} {}", quoted(value)));
    }
}

/// A word for a shell. One with a NUL byte cannot be written, nor can it be an argument.
pub fn quoted(word: &str) -> Cow<'_, str> {
    shlex::try_quote(word).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prod() -> CommandHint {
        CommandHint {
            flags: " --local --stage prod".to_owned(),
            again: String::new(),
        }
    }

    #[test]
    fn command_lines_of_messages_name_the_same_stack() {
        let check = |text: &str, expected: &str| assert_eq!(prod().complete(text), expected);
        check(
            "create it with `taskctl deploy`; `taskctl status` shows it",
            "create it with `taskctl deploy --local --stage prod`; `taskctl status --local --stage prod` shows it",
        );
        check(
            "`taskctl deploy --local --stage prod` creates it",
            "`taskctl deploy --local --stage prod` creates it",
        );
        check("`taskctl init` writes one", "`taskctl init` writes one");
        check("see taskctl status", "see taskctl status");
        check("set `region`", "set `region`");
        assert_eq!(CommandHint::default().complete("`taskctl deploy`"), "`taskctl deploy`");
    }

    #[test]
    fn what_is_to_be_copied_is_quoted() {
        let code = CodeArgs {
            build: crate::cli::BuildArgs {
                handlers: None,
                release: false,
            },
            artifacts: Some("my packages".into()),
        };
        let promotion = PromotionArgs {
            promote: false,
            no_promote: true,
        };
        assert_eq!(
            deploy_flags(&code, &promotion),
            " --artifacts 'my packages' --no-promote"
        );
    }
}
