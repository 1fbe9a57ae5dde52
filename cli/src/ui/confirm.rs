//! Confirmations: what the operator is asked before something that cannot simply be undone.

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
}
