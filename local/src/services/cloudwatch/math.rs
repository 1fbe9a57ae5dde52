//! Metric math: numbers and series by id, `+ - * / ^`, comparisons, `&&`, `||`, `IF`, `FILL`, `MIN`, `MAX`, `SUM`,
//! `AVG`, `ABS`, `CEIL`, `FLOOR`. Pure.

use std::collections::BTreeMap;

/// Values by time, seconds since the epoch.
pub(crate) type Series = BTreeMap<i64, f64>;

/// A value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    /// The same at any time.
    Scalar(f64),
    /// Values by time.
    Series(Series),
}

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Number(f64),
    Metric(String),
    Negative(Box<Expression>),
    Binary(Box<Expression>, &'static str, Box<Expression>),
    Call(String, Vec<Expression>),
}

/// An error in an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MathError {
    #[error("unexpected '{0}'")]
    Unexpected(String),
    #[error("unexpected end")]
    End,
    #[error("no metric has the id '{0}'")]
    UnknownMetric(String),
    #[error("the function {0} is not served by the local target")]
    UnknownFunction(String),
    #[error("the function {0} takes other arguments")]
    Arguments(String),
    #[error("nested too deeply")]
    Depth,
}

/// Operators by precedence, weakest first.
const LEVELS: [&[&str]; 5] = [
    &["||"],
    &["&&"],
    &["==", "!=", "<=", ">=", "<", ">"],
    &["+", "-"],
    &["*", "/"],
];
const DEPTH: usize = 60;

/// Reads an expression.
pub(crate) fn parse(text: &str) -> Result<Expression, MathError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
    };
    let expression = parser.level(0, 0)?;
    match parser.peek() {
        None => Ok(expression),
        Some(token) => Err(MathError::Unexpected(token.to_owned())),
    }
}

fn tokens(text: &str) -> Result<Vec<String>, MathError> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        let first = characters[at];
        let run = |allowed: fn(char) -> bool| characters[at..].iter().take_while(|c| allowed(**c)).count();
        let length = if first.is_whitespace() {
            at += 1;
            continue;
        } else if first.is_ascii_digit() || first == '.' {
            run(|c| c.is_ascii_digit() || c == '.')
        } else if first.is_ascii_alphabetic() || first == '_' {
            run(|c| c.is_ascii_alphanumeric() || c == '_')
        } else if let Some(operator) = ["&&", "||", "==", "!=", "<=", ">="]
            .iter()
            .find(|operator| characters[at..].iter().take(2).collect::<String>() == **operator)
        {
            operator.len()
        } else if "+-*/^<>(),".contains(first) {
            1
        } else {
            return Err(MathError::Unexpected(first.to_string()));
        };
        tokens.push(characters[at..at + length].iter().collect());
        at += length;
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<String>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn take(&mut self) -> Result<String, MathError> {
        let token = self.tokens.get(self.at).cloned().ok_or(MathError::End)?;
        self.at += 1;
        Ok(token)
    }

    fn level(&mut self, level: usize, depth: usize) -> Result<Expression, MathError> {
        if depth > DEPTH {
            return Err(MathError::Depth);
        }
        let Some(operators) = LEVELS.get(level) else {
            return self.power(depth);
        };
        let mut left = self.level(level + 1, depth + 1)?;
        while let Some(operator) = self
            .peek()
            .and_then(|token| operators.iter().find(|operator| **operator == token))
        {
            self.at += 1;
            let right = self.level(level + 1, depth + 1)?;
            left = Expression::Binary(Box::new(left), operator, Box::new(right));
        }
        Ok(left)
    }

    fn power(&mut self, depth: usize) -> Result<Expression, MathError> {
        let base = self.atom(depth)?;
        if self.peek() == Some("^") {
            self.at += 1;
            let exponent = self.power(depth + 1)?;
            return Ok(Expression::Binary(Box::new(base), "^", Box::new(exponent)));
        }
        Ok(base)
    }

    fn atom(&mut self, depth: usize) -> Result<Expression, MathError> {
        if depth > DEPTH {
            return Err(MathError::Depth);
        }
        let token = self.take()?;
        if token == "-" {
            return Ok(Expression::Negative(Box::new(self.atom(depth + 1)?)));
        }
        if token == "(" {
            let inner = self.level(0, depth + 1)?;
            return self.expect(")").map(|()| inner);
        }
        if token.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return token
                .parse()
                .map(Expression::Number)
                .map_err(|_| MathError::Unexpected(token));
        }
        if !token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(MathError::Unexpected(token));
        }
        if self.peek() != Some("(") {
            return Ok(Expression::Metric(token));
        }
        self.at += 1;
        let mut arguments = Vec::new();
        if self.peek() != Some(")") {
            loop {
                arguments.push(self.level(0, depth + 1)?);
                if self.peek() != Some(",") {
                    break;
                }
                self.at += 1;
            }
        }
        self.expect(")")?;
        Ok(Expression::Call(token.to_ascii_uppercase(), arguments))
    }

    fn expect(&mut self, wanted: &str) -> Result<(), MathError> {
        let token = self.take()?;
        if token == wanted {
            Ok(())
        } else {
            Err(MathError::Unexpected(token))
        }
    }
}

/// Computes an expression over series by id.
pub(crate) fn evaluate(expression: &Expression, metrics: &BTreeMap<String, Series>) -> Result<Operand, MathError> {
    match expression {
        Expression::Number(number) => Ok(Operand::Scalar(*number)),
        Expression::Metric(id) => metrics
            .get(id)
            .cloned()
            .map(Operand::Series)
            .ok_or_else(|| MathError::UnknownMetric(id.clone())),
        Expression::Negative(inner) => Ok(map(evaluate(inner, metrics)?, |value| -value)),
        Expression::Binary(left, operator, right) => {
            let (left, right) = (evaluate(left, metrics)?, evaluate(right, metrics)?);
            Ok(zip(left, right, |a, b| apply(operator, a, b)))
        }
        Expression::Call(name, arguments) => call(name, arguments, metrics),
    }
}

fn apply(operator: &str, a: f64, b: f64) -> Option<f64> {
    let truth = |holds: bool| Some(f64::from(u8::from(holds)));
    match operator {
        "+" => Some(a + b),
        "-" => Some(a - b),
        "*" => Some(a * b),
        // A division by zero has no value.
        "/" => (b != 0.0).then(|| a / b),
        "^" => Some(a.powf(b)).filter(|value| value.is_finite()),
        "==" => truth(a == b),
        "!=" => truth(a != b),
        "<" => truth(a < b),
        ">" => truth(a > b),
        "<=" => truth(a <= b),
        ">=" => truth(a >= b),
        "&&" => truth(a != 0.0 && b != 0.0),
        "||" => truth(a != 0.0 || b != 0.0),
        _ => None,
    }
}

fn call(name: &str, arguments: &[Expression], metrics: &BTreeMap<String, Series>) -> Result<Operand, MathError> {
    let values = || {
        arguments
            .iter()
            .map(|argument| evaluate(argument, metrics))
            .collect::<Result<Vec<_>, _>>()
    };
    let wrong = || MathError::Arguments(name.to_owned());
    match (name, arguments) {
        ("IF", [condition, yes, rest @ ..]) if rest.len() <= 1 => {
            let condition = evaluate(condition, metrics)?;
            let yes = evaluate(yes, metrics)?;
            let no = rest.first().map(|no| evaluate(no, metrics)).transpose()?;
            Ok(choose(&condition, &yes, no.as_ref()))
        }
        ("FILL", [series, filling]) => {
            let with = match (evaluate(series, metrics)?, evaluate(filling, metrics)?) {
                (Operand::Series(series), Operand::Scalar(with)) => (series, with),
                (scalar, _) => return Ok(scalar),
            };
            // Gaps are seen by the times that other metrics have a value at.
            let times = metrics.values().flat_map(|series| series.keys().copied());
            let mut filled: Series = times.map(|time| (time, with.1)).collect();
            filled.extend(with.0);
            Ok(Operand::Series(filled))
        }
        ("ABS", [value]) => Ok(map(evaluate(value, metrics)?, f64::abs)),
        ("CEIL", [value]) => Ok(map(evaluate(value, metrics)?, f64::ceil)),
        ("FLOOR", [value]) => Ok(map(evaluate(value, metrics)?, f64::floor)),
        ("MIN" | "MAX" | "SUM" | "AVG", [_, ..]) => {
            let values = values()?;
            if let [Operand::Series(series)] = values.as_slice() {
                return reduce(name, series.values().copied())
                    .map(Operand::Scalar)
                    .ok_or_else(wrong);
            }
            let scalars: Option<Vec<f64>> = values
                .iter()
                .map(|value| match value {
                    Operand::Scalar(value) => Some(*value),
                    Operand::Series(_) => None,
                })
                .collect();
            reduce(name, scalars.ok_or_else(wrong)?.into_iter())
                .map(Operand::Scalar)
                .ok_or_else(wrong)
        }
        ("IF" | "FILL" | "ABS" | "CEIL" | "FLOOR" | "MIN" | "MAX" | "SUM" | "AVG", _) => Err(wrong()),
        _ => Err(MathError::UnknownFunction(name.to_owned())),
    }
}

fn reduce(name: &str, values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    let sum: f64 = values.iter().sum();
    match name {
        _ if values.is_empty() => Some(0.0),
        "MIN" => values.into_iter().reduce(f64::min),
        "MAX" => values.into_iter().reduce(f64::max),
        "SUM" => Some(sum),
        "AVG" => Some(sum / values.len() as f64),
        _ => None,
    }
}

fn map(operand: Operand, change: impl Fn(f64) -> f64) -> Operand {
    match operand {
        Operand::Scalar(value) => Operand::Scalar(change(value)),
        Operand::Series(series) => {
            Operand::Series(series.into_iter().map(|(time, value)| (time, change(value))).collect())
        }
    }
}

/// Two series meet at the times that both have.
fn zip(left: Operand, right: Operand, combine: impl Fn(f64, f64) -> Option<f64>) -> Operand {
    match (left, right) {
        (Operand::Scalar(a), Operand::Scalar(b)) => {
            combine(a, b).map_or_else(|| Operand::Series(Series::new()), Operand::Scalar)
        }
        (Operand::Series(a), Operand::Scalar(b)) => Operand::Series(
            a.into_iter()
                .filter_map(|(time, a)| Some((time, combine(a, b)?)))
                .collect(),
        ),
        (Operand::Scalar(a), Operand::Series(b)) => Operand::Series(
            b.into_iter()
                .filter_map(|(time, b)| Some((time, combine(a, b)?)))
                .collect(),
        ),
        (Operand::Series(a), Operand::Series(b)) => Operand::Series(
            a.into_iter()
                .filter_map(|(time, a)| Some((time, combine(a, *b.get(&time)?)?)))
                .collect(),
        ),
    }
}

fn at(operand: &Operand, time: i64) -> Option<f64> {
    match operand {
        Operand::Scalar(value) => Some(*value),
        Operand::Series(series) => series.get(&time).copied(),
    }
}

fn choose(condition: &Operand, yes: &Operand, no: Option<&Operand>) -> Operand {
    let pick = |holds: f64, time: i64| {
        if holds != 0.0 {
            at(yes, time)
        } else {
            no.and_then(|no| at(no, time))
        }
    };
    match condition {
        Operand::Series(series) => Operand::Series(
            series
                .iter()
                .filter_map(|(time, holds)| Some((*time, pick(*holds, *time)?)))
                .collect(),
        ),
        Operand::Scalar(holds) if *holds != 0.0 => yes.clone(),
        Operand::Scalar(_) => no.cloned().unwrap_or_else(|| Operand::Series(Series::new())),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    fn check(expression: &str, expected: Operand) {
        let metrics = BTreeMap::from([
            ("inv".to_owned(), Series::from([(0, 10.0), (60, 100.0), (120, 50.0)])),
            ("err".to_owned(), Series::from([(0, 10.0), (60, 5.0)])),
        ]);
        let parsed = parse(expression).unwrap();
        assert_eq!(evaluate(&parsed, &metrics).unwrap(), expected, "{expression}");
    }

    #[test]
    fn arithmetic() {
        check("1 + 2 * 3", Operand::Scalar(7.0));
        check("(1 + 2) * 3", Operand::Scalar(9.0));
        check("2 ^ 3 ^ 1 - -1", Operand::Scalar(9.0));
        check("10 / 4 - 1", Operand::Scalar(1.5));
        check("1 < 2 && 2 >= 3 || 1 != 0", Operand::Scalar(1.0));
    }

    #[test]
    fn series_meet_at_common_times() {
        check(
            "100 * err / inv",
            Operand::Series(Series::from([(0, 100.0), (60, 5.0)])),
        );
        check(
            "inv - 10",
            Operand::Series(Series::from([(0, 0.0), (60, 90.0), (120, 40.0)])),
        );
        check("err / (inv - 10)", Operand::Series(Series::from([(60, 5.0 / 90.0)])));
    }

    #[test]
    fn conditions_and_gaps() {
        check(
            "IF(inv > 20, 100 * err / inv, 0)",
            Operand::Series(Series::from([(0, 0.0), (60, 5.0)])),
        );
        let filled = Series::from([(0, 0.0), (60, 5.0), (120, 0.0)]);
        check("IF(inv > 20, 100 * FILL(err, 0) / inv, 0)", Operand::Series(filled));
        check("MAX(inv)", Operand::Scalar(100.0));
    }

    #[test]
    fn nonsense_is_refused() {
        for expression in ["", "1 +", "(1", "a b", "1 2", "IF(", "m1 $ 2", "1..2"] {
            assert!(parse(expression).is_err(), "{expression}");
        }
        assert!(parse(&"(".repeat(10_000)).is_err());
        assert_eq!(
            evaluate(&parse("ANOMALY_DETECTION_BAND(m)").unwrap(), &BTreeMap::new()),
            Err(MathError::UnknownFunction("ANOMALY_DETECTION_BAND".to_owned()))
        );
    }
}
