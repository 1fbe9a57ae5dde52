//! Confirmations: what the operator is asked before something that cannot simply be undone.

use super::text::plain;

/// A question before an action.
#[derive(Debug, Clone)]
pub struct Confirmation {
    /// What will be true afterwards, as a question.
    pub question: String,
    /// The answer that agrees.
    pub expected: Expected,
    /// What happens where there is no terminal to ask on.
    pub unattended: Unattended,
}

/// The answer that agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Yes,
    /// A word that must be typed as it is.
    Word(String),
}

/// What happens where there is no terminal to ask on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unattended {
    /// The command line was consent enough.
    Proceed,
    /// A usage error with this message.
    Refuse(String),
}

/// Where something is changed, and as whom. Said before a question: the stage's name alone does not tell one account from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In an account.
    Account {
        account: String,
        region: String,
        /// ARN of the principal whose credentials are used.
        principal: String,
        /// Where the account's API is called, unless it is AWS's own.
        endpoint: Option<String>,
    },
    /// On this machine.
    Local,
}

impl Place {
    /// A question below the place that it is about.
    pub fn above(&self, question: &str) -> String {
        let rows = match self {
            Self::Local => vec![("where", "the local target, on this machine".to_owned())],
            Self::Account {
                account,
                region,
                principal,
                endpoint,
            } => {
                let at = endpoint.iter().map(|url| ("at", url.clone()));
                [("where", format!("account {account}, region {region}"))]
                    .into_iter()
                    .chain(at)
                    .chain([("as", principal.clone())])
                    .collect()
            }
        };
        let rows = rows.iter().map(|(name, text)| format!("{name:<5}  {}\n", plain(text)));
        rows.chain([question.to_owned()]).collect()
    }
}

impl Expected {
    /// The question with how to answer it.
    pub fn prompt(&self, question: &str) -> String {
        match self {
            Self::Yes => format!("{question} [y/N] "),
            Self::Word(_) => format!("{question}: "),
        }
    }

    pub fn accepts(&self, answer: &str) -> bool {
        match self {
            Self::Yes => ["y", "yes"].iter().any(|yes| answer.eq_ignore_ascii_case(yes)),
            Self::Word(word) => answer == word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expected_answer_agrees() {
        let check =
            |expected: &Expected, answer: &str, agrees| assert_eq!(expected.accepts(answer), agrees, "{answer:?}");
        for yes in ["y", "Y", "yes", "Yes"] {
            check(&Expected::Yes, yes, true);
        }
        for no in ["", "n", "no", "ye", "yes please"] {
            check(&Expected::Yes, no, false);
        }
        let word = Expected::Word("prod".to_owned());
        check(&word, "prod", true);
        check(&word, "Prod", false);
        check(&word, "y", false);
        assert_eq!(Expected::Yes.prompt("Apply?"), "Apply? [y/N] ");
    }

    #[test]
    fn where_something_is_changed_and_as_whom_stands_above_the_question() {
        let question = "Promote release 2 to live on shop/prod? (live now: release 1)";
        let at = |endpoint: Option<&str>| Place::Account {
            account: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            principal: "arn:aws:sts::123456789012:assumed-role/deployer/ann".to_owned(),
            endpoint: endpoint.map(str::to_owned),
        };
        let asked = |place: &Place| Expected::Yes.prompt(&place.above(question));
        let docs = include_str!("../../../docs/releases.md");
        assert!(
            docs.contains(asked(&at(None)).trim_end()),
            "docs/releases.md shows another prompt"
        );
        insta::assert_snapshot!(asked(&at(None)), @r"
        where  account 123456789012, region eu-central-1
        as     arn:aws:sts::123456789012:assumed-role/deployer/ann
        Promote release 2 to live on shop/prod? (live now: release 1) [y/N]
        ");
        insta::assert_snapshot!(asked(&at(Some("http://127.0.0.1:4566"))), @r"
        where  account 123456789012, region eu-central-1
        at     http://127.0.0.1:4566
        as     arn:aws:sts::123456789012:assumed-role/deployer/ann
        Promote release 2 to live on shop/prod? (live now: release 1) [y/N]
        ");
        // Names are anybody's.
        let hostile = Place::Account {
            account: "1".to_owned(),
            region: "eu-central-1".to_owned(),
            principal: "arn\u{1b}[2J\n".to_owned(),
            endpoint: None,
        };
        assert!(hostile.above("").ends_with("\nas     arn\\u{1b}[2J \n"), "{hostile:?}");
        insta::assert_snapshot!(asked(&Place::Local), @r"
        where  the local target, on this machine
        Promote release 2 to live on shop/prod? (live now: release 1) [y/N]
        ");
    }
}
