//! `taskctl local env`: how other AWS clients reach the local target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskctl_local::{Credentials, DEFAULT_ACCOUNT, LocalOptions, credentials, is_account};

use crate::cli::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::{Lines, json_answer};
use crate::session::Session;
use crate::target;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Account to act in, twelve digits
    #[arg(long, value_name = "ID", default_value = DEFAULT_ACCOUNT, value_parser = account, conflicts_with = "role")]
    account: String,
    /// Act as this role, with the permissions of its policies
    #[arg(long, value_name = "ARN", value_parser = role)]
    role: Option<String>,
}

/// The answer in JSON.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// `AWS_ENDPOINT_URL`
    endpoint_url: String,
    /// `AWS_REGION`: the template's.
    region: String,
    /// `AWS_ACCESS_KEY_ID`: the account's number, or a key of the role's session.
    access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    secret_access_key: String,
    /// `AWS_SESSION_TOKEN`: for a role.
    session_token: Option<String>,
}

fn account(text: &str) -> Result<String, String> {
    match is_account(text) {
        true => Ok(text.to_owned()),
        false => Err("expected twelve digits, such as 111122223333".to_owned()),
    }
}

fn role(text: &str) -> Result<String, String> {
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let is_role = matches!(&fields[..], ["arn", _, "iam", "", id, name] if is_account(id) && name.starts_with("role/"));
    // It is printed for a shell and signed in a token: nothing but what ARNs have.
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b":/+=,.@_-".contains(&byte));
    match is_role && is_plain {
        true => Ok(text.to_owned()),
        false => Err("expected a role ARN such as arn:aws:iam::000000000000:role/name".to_owned()),
    }
}

/// Prints it, and starts the local target when it does not run.
pub async fn run(session: &Session, options: &LocalOptions, args: &Args) -> Result<Exit, Failure> {
    let status = session.unless_stopped(target::up(options, &session.events())).await??;
    let Credentials {
        access_key_id,
        secret_access_key,
        session_token,
    } = credentials(options, &args.account, args.role.as_deref())?;
    let environment = Environment {
        endpoint_url: status.endpoint_url,
        region: region(session),
        access_key_id,
        secret_access_key,
        session_token,
    };
    session.reporter.answer(match session.global.output {
        Output::Json => json_answer("the variables", &environment, Lines::Many)?,
        Output::Human | Output::Github => script(&environment),
    });
    Ok(Exit::Ok)
}

/// The region that commands of this directory work in.
fn region(session: &Session) -> String {
    let of_template = || session.project().ok();
    let named = session.global.target.region.clone();
    let named = named.or_else(|| of_template().map(|project| project.template.stack.region));
    named
        .or_else(|| session.env.region.clone())
        .unwrap_or_else(|| "us-east-1".to_owned())
}

/// Commands for a POSIX shell.
fn script(environment: &Environment) -> String {
    let Environment {
        endpoint_url,
        region,
        access_key_id,
        secret_access_key,
        session_token,
    } = environment;
    let mut text = String::new();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", endpoint_url),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
        ("AWS_ACCESS_KEY_ID", access_key_id),
        ("AWS_SECRET_ACCESS_KEY", secret_access_key),
    ] {
        text.push_str(&format!("export {name}='{value}'\n"));
    }
    // What is set from before would win.
    match session_token {
        Some(token) => text.push_str(&format!("export AWS_SESSION_TOKEN='{token}'\nunset AWS_PROFILE\n")),
        None => text.push_str("unset AWS_SESSION_TOKEN AWS_PROFILE\n"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_roles_are_checked() {
        assert!(account("111122223333").is_ok());
        for wrong in ["", "1111", "11112222333x"] {
            assert!(account(wrong).is_err(), "{wrong}");
        }
        assert!(role("arn:aws:iam::000000000000:role/taskctl/shop/dev/tasks").is_ok());
        for wrong in [
            "tasks",
            "arn:aws:iam::1:role/x",
            "arn:aws:iam::000000000000:user/x",
            "arn:aws:iam::000000000000:role/x'; ls",
        ] {
            assert!(role(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_shell_takes_the_script() {
        let environment = Environment {
            endpoint_url: "http://127.0.0.1:4580".to_owned(),
            region: "eu-central-1".to_owned(),
            access_key_id: "000000000000".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
        };
        insta::assert_snapshot!(script(&environment), @r"
        export AWS_ENDPOINT_URL='http://127.0.0.1:4580'
        export AWS_REGION='eu-central-1'
        export AWS_DEFAULT_REGION='eu-central-1'
        export AWS_ACCESS_KEY_ID='000000000000'
        export AWS_SECRET_ACCESS_KEY='secret'
        unset AWS_SESSION_TOKEN AWS_PROFILE
        ");
    }
}
