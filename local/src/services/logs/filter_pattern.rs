//! Filter patterns of CloudWatch Logs that look into JSON, `{ $.level = "ERROR" && $.status >= 500 }`, and those with optional
//! texts, `?ERROR ?"not found"`. The emulator takes every event for the former and none for the latter; other text patterns it
//! knows. Pure.

use serde_json::Value;

use crate::services::iam::wildcard;

/// A pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    And(Box<Pattern>, Box<Pattern>),
    Or(Box<Pattern>, Box<Pattern>),
    Test(Vec<String>, Test),
    /// One of these texts.
    Any(Vec<String>),
}

/// A comparison with a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Text { equal: bool, pattern: String },
    Number { operator: String, with: f64 },
    Is(String),
    NotExists,
}

/// Reads a pattern; `None` when it is one that the emulator knows, or is malformed.
pub(super) fn parse(text: &str) -> Option<Pattern> {
    if let Some(texts) = any(text) {
        return Some(Pattern::Any(texts));
    }
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut parser = Parser {
        tokens: tokens(inner)?,
        at: 0,
        depth: 0,
    };
    let pattern = parser.or()?;
    (parser.at == parser.tokens.len()).then_some(pattern)
}

/// The texts of `?ERROR ?"not found"`, where each is optional and one must be there.
fn any(text: &str) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let term = rest.strip_prefix('?')?;
        let (found, after) = match term.strip_prefix('"') {
            // A quotation mark within is escaped.
            Some(quoted) => {
                let mut escaped = false;
                let end = quoted.find(|character| {
                    let is_end = character == '"' && !escaped;
                    escaped = character == '\\' && !escaped;
                    is_end
                })?;
                (quoted[..end].replace("\\\"", "\""), &quoted[end + 1..])
            }
            None => {
                let end = term.find(char::is_whitespace).unwrap_or(term.len());
                (term[..end].to_owned(), &term[end..])
            }
        };
        texts.push(found);
        rest = after.trim_start();
    }
    (!texts.is_empty()).then_some(texts)
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Symbol(String),
    Quoted(String),
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let end = rest[1..].find('"')? + 1;
            tokens.push(Token::Quoted(rest[1..end].to_owned()));
            rest = rest[end + 1..].trim_start();
            continue;
        }
        let operator = ["&&", "||", "!=", ">=", "<=", "=", ">", "<", "(", ")"]
            .iter()
            .find(|operator| rest.starts_with(**operator));
        let length = match operator {
            Some(operator) => operator.len(),
            None => rest
                .find(|c: char| c.is_whitespace() || "&|!=<>()".contains(c))
                .unwrap_or(rest.len()),
        };
        if length == 0 {
            return None;
        }
        tokens.push(Token::Symbol(rest[..length].to_owned()));
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn symbol(&self) -> Option<&str> {
        match self.tokens.get(self.at) {
            Some(Token::Symbol(symbol)) => Some(symbol),
            _ => None,
        }
    }

    fn take(&mut self) -> Option<Token> {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned()
    }

    fn or(&mut self) -> Option<Pattern> {
        let mut left = self.and()?;
        while self.symbol() == Some("||") {
            self.at += 1;
            left = Pattern::Or(Box::new(left), Box::new(self.and()?));
        }
        Some(left)
    }

    fn and(&mut self) -> Option<Pattern> {
        let mut left = self.test()?;
        while self.symbol() == Some("&&") {
            self.at += 1;
            left = Pattern::And(Box::new(left), Box::new(self.test()?));
        }
        Some(left)
    }

    fn test(&mut self) -> Option<Pattern> {
        if self.symbol() == Some("(") {
            self.at += 1;
            self.depth += 1;
            if self.depth > 20 {
                return None;
            }
            let inner = self.or()?;
            return (self.take()? == Token::Symbol(")".to_owned())).then_some(inner);
        }
        let Token::Symbol(selector) = self.take()? else {
            return None;
        };
        let path = selector.strip_prefix("$.")?.split('.').map(str::to_owned).collect();
        let Token::Symbol(operator) = self.take()? else {
            return None;
        };
        let test = match (operator.as_str(), self.take()?) {
            ("=" | "!=", Token::Quoted(pattern)) => Test::Text {
                equal: operator == "=",
                pattern,
            },
            ("=" | "!=", Token::Symbol(word)) => match word.parse() {
                Ok(with) => Test::Number { operator, with },
                Err(_) => Test::Text {
                    equal: operator == "=",
                    pattern: word,
                },
            },
            (">" | "<" | ">=" | "<=", Token::Symbol(word)) => Test::Number {
                operator,
                with: word.parse().ok()?,
            },
            ("IS", Token::Symbol(word)) => Test::Is(word),
            ("NOT", Token::Symbol(word)) if word == "EXISTS" => Test::NotExists,
            _ => return None,
        };
        Some(Pattern::Test(path, test))
    }
}

impl Pattern {
    /// Whether a line of log fits.
    pub(super) fn matches(&self, message: &str) -> bool {
        if let Self::Any(texts) = self {
            return texts.iter().any(|text| message.contains(text.as_str()));
        }
        serde_json::from_str(message).is_ok_and(|value: Value| value.is_object() && self.fits(&value))
    }

    fn fits(&self, event: &Value) -> bool {
        match self {
            Self::And(left, right) => left.fits(event) && right.fits(event),
            Self::Or(left, right) => left.fits(event) || right.fits(event),
            Self::Test(path, test) => {
                let found = path.iter().try_fold(event, |value, name| value.get(name));
                test.holds(found)
            }
            Self::Any(_) => false,
        }
    }
}

impl Test {
    fn holds(&self, found: Option<&Value>) -> bool {
        match (self, found) {
            (Self::NotExists, found) => found.is_none(),
            (_, None) => false,
            (Self::Text { equal, pattern }, Some(value)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                wildcard::matches(pattern, &text) == *equal
            }
            (Self::Number { operator, with }, Some(value)) => {
                value.as_f64().is_some_and(|value| match operator.as_str() {
                    "=" => value == *with,
                    "!=" => value != *with,
                    ">" => value > *with,
                    "<" => value < *with,
                    ">=" => value >= *with,
                    "<=" => value <= *with,
                    _ => false,
                })
            }
            (Self::Is(word), Some(value)) => match word.as_str() {
                "NULL" => value.is_null(),
                "TRUE" => value == &Value::Bool(true),
                "FALSE" => value == &Value::Bool(false),
                _ => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expected: Option<bool>) {
        let line = r#"{"level":"ERROR","status":503,"fields":{"route":"GET /tasks"},"cold":true,"none":null}"#;
        assert_eq!(
            parse(pattern).map(|pattern| pattern.matches(line)),
            expected,
            "{pattern}"
        );
    }

    #[test]
    fn patterns() {
        check(r#"{ $.level = "ERROR" }"#, Some(true));
        check(r#"{$.level="WARN"}"#, Some(false));
        check(r#"{ $.level != "WARN" }"#, Some(true));
        check(r#"{ $.fields.route = "GET *" }"#, Some(true));
        check("{ $.status >= 500 }", Some(true));
        check("{ $.status = 404 }", Some(false));
        check(
            "{ ($.status = 404) || ($.status = 503 && $.level = ERROR) }",
            Some(true),
        );
        check("{ $.cold IS TRUE && $.none IS NULL }", Some(true));
        check("{ $.absent NOT EXISTS }", Some(true));
        check("{ $.absent = 1 }", Some(false));
        check("ERROR", None);
        check("{ $.a", None);
        check("{ $.a = }", None);
        check("{ a = 1 }", None);
    }

    #[test]
    fn one_of_several_texts() {
        let pattern = parse(r#"?"not found" ?ERROR ?"\"status\":\"timeout\"""#).expect("a pattern");
        for text in ["page not found", "an ERROR", r#"{"status":"timeout"}"#] {
            assert!(pattern.matches(text), "{text}");
        }
        assert!(!pattern.matches("an error") && !pattern.matches("not here: found"));
        assert_eq!(parse("ERROR ?WARN"), None);
        assert_eq!(parse("?\"open"), None);
    }

    #[test]
    fn text_lines_never_fit() {
        assert_eq!(
            parse("{ $.a NOT EXISTS }").map(|pattern| pattern.matches("plain text")),
            Some(false)
        );
    }
}
