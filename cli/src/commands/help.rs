//! `taskctl help`: of a command, or of a topic that belongs to all of them.

use crate::env::Env;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::direct::{fail, print};
use crate::session::Invocation;
use crate::ui::style::Paint;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Command such as `deploy` or `local up`, or the topic `exit-codes`
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
}

/// The topics, with what they say.
const TOPICS: [(&str, &str); 1] = [("exit-codes", Exit::TABLE)];

pub fn run(invocation: &Invocation, args: &Args, mut command_line: clap::Command) -> Exit {
    let env = &invocation.env;
    if let [word] = args.words.as_slice()
        && let Some((_, text)) = TOPICS.iter().find(|(name, _)| name == word)
    {
        return print(env, &format!("{text}\n"));
    }
    command_line.build();
    let mut command = &mut command_line;
    for word in &args.words {
        let known: Vec<String> = names(command);
        command = match command.find_subcommand_mut(word) {
            Some(found) => found,
            None => {
                let failure = Failure::usage(
                    format!("there is no command or topic `{}`", args.words.join(" ")),
                    format!("commands and topics: {}", known.join(", ")),
                );
                return fail(env, &failure);
            }
        };
    }
    print(env, &text(command, env))
}

/// The help of a command.
pub fn text(command: &mut clap::Command, env: &Env) -> String {
    let help = command.render_long_help();
    match env.out.paint {
        Paint::Colored => help.ansi().to_string(),
        Paint::Plain => help.to_string(),
    }
}

fn names(command: &clap::Command) -> Vec<String> {
    let commands = command.get_subcommands().map(|command| command.get_name().to_owned());
    let topics = TOPICS.iter().map(|(name, _)| (*name).to_owned());
    commands.chain(topics).collect()
}
