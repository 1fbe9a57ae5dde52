//! The syntax of Logs Insights queries.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html>

use regex_lite::Regex;

/// A step of a query.
#[derive(Debug, Clone)]
pub(super) enum Clause {
    Fields(Vec<Named>),
    Display(Vec<Named>),
    Filter(Named),
    Stats {
        of: Vec<Named>,
        by: Vec<Named>,
    },
    Sort(Vec<(Named, Order)>),
    Limit(usize),
    Dedup(Vec<Named>),
    Parse {
        from: Named,
        pattern: Regex,
        names: Vec<String>,
    },
}

/// Direction of a sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// An expression and the name of its column: its alias, or its text.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub name: String,
    pub expression: Expression,
}

/// An expression.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    Number(f64),
    Text(String),
    Pattern(Regex),
    Field(String),
    /// Milliseconds.
    Period(i64),
    /// The `*` of `count(*)`.
    Everything,
    List(Vec<Self>),
    Not(Box<Self>),
    Minus(Box<Self>),
    Binary(Operator, Box<Self>, Box<Self>),
    Call(String, Vec<Self>),
}

/// An operator between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    NotLike,
    In,
    NotIn,
    Plus,
    Minus,
    Times,
    Divide,
    Remainder,
    Power,
}

/// Functions that make one value of many rows.
pub(super) const AGGREGATES: [&str; 14] = [
    "count",
    "count_distinct",
    "sum",
    "avg",
    "min",
    "max",
    "pct",
    "percentile",
    "median",
    "stddev",
    "earliest",
    "latest",
    "sortsfirst",
    "sortslast",
];

/// Functions of one row.
pub(super) const FUNCTIONS: [&str; 29] = [
    "abs",
    "bin",
    "ceil",
    "coalesce",
    "concat",
    "datefloor",
    "dateceil",
    "floor",
    "frommillis",
    "greatest",
    "if",
    "isblank",
    "isempty",
    "ispresent",
    "least",
    "log",
    "ltrim",
    "replace",
    "rtrim",
    "sqrt",
    "strcontains",
    "strlen",
    "substr",
    "tolower",
    "tomillis",
    "toupper",
    "trim",
    "now",
    "isvalidip",
];

/// Deepest nesting of an expression.
const DEEPEST: usize = 40;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// A name in backticks.
    Ticked(String),
    Quoted(String),
    Number(f64),
    Period(i64),
    Pattern(String),
    Symbol(&'static str),
}

/// Parses a query. The error names the part that is not understood.
pub(super) fn parse(text: &str) -> Result<Vec<Clause>, String> {
    let tokens = tokens(text)?;
    let mut clauses = Vec::new();
    for part in tokens.split(|(token, _)| *token == Token::Symbol("|")) {
        if part.is_empty() {
            continue;
        }
        let mut parser = Parser {
            text,
            tokens: part,
            at: 0,
            depth: 0,
        };
        clauses.push(parser.clause()?);
        if let Some((_, (start, end))) = parser.tokens.get(parser.at) {
            return Err(format!("`{}` is not expected here", &text[*start..*end]));
        }
    }
    if clauses.is_empty() {
        return Err("the query is empty".to_owned());
    }
    Ok(clauses)
}

const SYMBOLS: [&str; 19] = [
    "=~", "!=", ">=", "<=", "=", ">", "<", "(", ")", "[", "]", ",", "|", "+", "-", "*", "/", "%", "^",
];

type Spanned = (Token, (usize, usize));

fn tokens(text: &str) -> Result<Vec<Spanned>, String> {
    let mut tokens: Vec<Spanned> = Vec::new();
    let mut at = 0;
    // `parse` takes a pattern where others take a division.
    let mut parses = false;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if first == '#' || rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let takes_pattern = parses
            || match tokens.last() {
                Some((Token::Word(word), _)) => word.eq_ignore_ascii_case("like"),
                Some((Token::Symbol(symbol), _)) => *symbol == "=~",
                _ => false,
            };
        let (token, length) = if first == '/' && takes_pattern {
            let (inner, length) = enclosed(rest, '/')?;
            (Token::Pattern(inner), length)
        } else if first == '"' || first == '\'' {
            let (inner, length) = enclosed(rest, first)?;
            (Token::Quoted(inner), length)
        } else if first == '`' {
            let (inner, length) = enclosed(rest, first)?;
            (Token::Ticked(inner), length)
        } else if first.is_ascii_digit() {
            number(rest)?
        } else if first.is_alphabetic() || first == '_' || first == '@' {
            let length = rest
                .find(|character: char| !character.is_alphanumeric() && !"_.@".contains(character))
                .unwrap_or(rest.len());
            (Token::Word(rest[..length].to_owned()), length)
        } else {
            let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
            let symbol = symbol.ok_or_else(|| format!("`{first}` is not expected here"))?;
            (Token::Symbol(symbol), symbol.len())
        };
        match &token {
            Token::Symbol("|") => parses = false,
            Token::Word(word) if word.eq_ignore_ascii_case("parse") => {
                let begins = tokens.last().is_none_or(|(token, _)| *token == Token::Symbol("|"));
                parses = parses || begins;
            }
            _ => {}
        }
        tokens.push((token, (at, at + length)));
        at += length;
    }
    Ok(tokens)
}

/// The text between two quotes, and its length with them. A quote within is escaped.
fn enclosed(text: &str, mark: char) -> Result<(String, usize), String> {
    let mut inner = String::new();
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => {
                // In a pattern all other escapes are the pattern's.
                if character != mark && (mark == '/' || character != '\\') {
                    inner.push('\\');
                }
                inner.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            _ if character == mark => return Ok((inner, at + 1)),
            _ => inner.push(character),
        }
    }
    Err(format!("a {mark} has no end"))
}

/// `12.5`, or `5m`.
fn number(text: &str) -> Result<(Token, usize), String> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let value: f64 = text[..digits]
        .parse()
        .map_err(|_| format!("`{}` is not a number", &text[..digits]))?;
    let unit = &text[digits..];
    let letters = unit
        .find(|character: char| !character.is_ascii_alphabetic())
        .unwrap_or(unit.len());
    if letters == 0 {
        return Ok((Token::Number(value), digits));
    }
    let millis = match unit[..letters].to_ascii_lowercase().as_str() {
        "ms" => 1.0,
        "s" | "sec" | "second" | "seconds" => 1_000.0,
        "m" | "min" | "minute" | "minutes" => 60_000.0,
        "h" | "hr" | "hour" | "hours" => 3_600_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        "w" | "week" | "weeks" => 604_800_000.0,
        other => return Err(format!("`{other}` is not a unit of time")),
    };
    #[expect(clippy::cast_possible_truncation, reason = "a period")]
    let period = (value * millis) as i64;
    Ok((Token::Period(period.max(1)), digits + letters))
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Spanned],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn clause(&mut self) -> Result<Clause, String> {
        let Some(Token::Word(verb)) = self.take() else {
            return Err("a step begins with its name, such as fields, filter or stats".to_owned());
        };
        match verb.to_ascii_lowercase().as_str() {
            "fields" => Ok(Clause::Fields(self.list()?)),
            "display" => Ok(Clause::Display(self.list()?)),
            "filter" | "where" => Ok(Clause::Filter(self.named()?)),
            "stats" => {
                let of = self.list()?;
                let by = if self.word("by") { self.list()? } else { Vec::new() };
                match of.iter().find(|one| !aggregates(&one.expression)) {
                    Some(one) => Err(format!("`{}` makes no one value of many", one.name)),
                    None => Ok(Clause::Stats { of, by }),
                }
            }
            "sort" | "order" => {
                let mut keys = Vec::new();
                loop {
                    let key = self.named()?;
                    let order = if self.word("desc") {
                        Order::Descending
                    } else {
                        let _ = self.word("asc");
                        Order::Ascending
                    };
                    keys.push((key, order));
                    if !self.symbol(",") {
                        return Ok(Clause::Sort(keys));
                    }
                }
            }
            "limit" | "head" => match self.take() {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
                Some(Token::Number(number)) if number.fract() == 0.0 => Ok(Clause::Limit(number as usize)),
                _ => Err("limit takes a whole number".to_owned()),
            },
            "dedup" => Ok(Clause::Dedup(self.list()?)),
            "parse" => self.extraction(),
            other => Err(format!(
                "`{other}` is not known to the local target; fields, display, filter, stats, sort, limit, dedup and parse are"
            )),
        }
    }

    /// `parse @message "user * did *" as user, deed`, or with a pattern whose groups have names.
    fn extraction(&mut self) -> Result<Clause, String> {
        let from = match self.peek() {
            Some(Token::Quoted(_) | Token::Pattern(_)) => Named {
                name: "@message".to_owned(),
                expression: Expression::Field("@message".to_owned()),
            },
            _ => self.named()?,
        };
        let (pattern, mut names) = match self.take() {
            Some(Token::Quoted(glob)) => {
                let parts: Vec<String> = glob.split('*').map(regex_lite::escape).collect();
                let groups = parts.join("(.*?)");
                let end = if glob.ends_with('*') { "$" } else { "" };
                (regex(&format!("(?s){groups}{end}"))?, Vec::new())
            }
            Some(Token::Pattern(pattern)) => {
                let pattern = regex(&pattern)?;
                let names = pattern.capture_names().flatten().map(str::to_owned).collect();
                (pattern, names)
            }
            _ => return Err("parse takes a text with * or a /pattern/".to_owned()),
        };
        if self.word("as") {
            names = vec![self.name()?];
            while self.symbol(",") {
                names.push(self.name()?);
            }
        }
        if names.is_empty() || names.len() + 1 != pattern.captures_len() {
            return Err(format!(
                "parse finds {} parts, and {} have names",
                pattern.captures_len() - 1,
                names.len()
            ));
        }
        Ok(Clause::Parse { from, pattern, names })
    }

    fn list(&mut self) -> Result<Vec<Named>, String> {
        let mut all = vec![self.named()?];
        while self.symbol(",") {
            all.push(self.named()?);
        }
        Ok(all)
    }

    fn named(&mut self) -> Result<Named, String> {
        let begin = self.at;
        let expression = self.expression(0)?;
        let span = |at: usize| self.tokens.get(at).map_or((0, 0), |(_, span)| *span);
        let text = self.text[span(begin).0..span(self.at - 1).1].trim();
        let name = match &expression {
            Expression::Field(field) => field.clone(),
            _ => text.to_owned(),
        };
        let name = if self.word("as") { self.name()? } else { name };
        Ok(Named { name, expression })
    }

    fn name(&mut self) -> Result<String, String> {
        match self.take() {
            Some(Token::Word(name) | Token::Ticked(name)) => Ok(name),
            _ => Err("`as` is followed by a name".to_owned()),
        }
    }

    /// Operators that bind at least so tightly.
    fn expression(&mut self, least: u8) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("the expression is nested too deeply".to_owned());
        }
        let mut left = self.unary()?;
        while let Some((operator, strength, length)) = self.operator().filter(|(_, strength, _)| *strength >= least) {
            self.at += length;
            // Powers are grouped from the right.
            let next = if operator == Operator::Power {
                strength
            } else {
                strength + 1
            };
            let right = self.expression(next)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The operator that comes next, how tightly it binds, and how many tokens it takes.
    fn operator(&self) -> Option<(Operator, u8, usize)> {
        let word = |ahead: usize| match self.tokens.get(self.at + ahead) {
            Some((Token::Word(word), _)) => word.to_ascii_lowercase(),
            _ => String::new(),
        };
        match self.peek()? {
            Token::Symbol(symbol) => {
                let (operator, strength) = match *symbol {
                    "=" => (Operator::Equal, 4),
                    "!=" => (Operator::NotEqual, 4),
                    "<" => (Operator::Less, 4),
                    "<=" => (Operator::LessOrEqual, 4),
                    ">" => (Operator::Greater, 4),
                    ">=" => (Operator::GreaterOrEqual, 4),
                    "=~" => (Operator::Like, 4),
                    "+" => (Operator::Plus, 5),
                    "-" => (Operator::Minus, 5),
                    "*" => (Operator::Times, 6),
                    "/" => (Operator::Divide, 6),
                    "%" => (Operator::Remainder, 6),
                    "^" => (Operator::Power, 7),
                    _ => return None,
                };
                Some((operator, strength, 1))
            }
            Token::Word(first) => match (first.to_ascii_lowercase().as_str(), word(1).as_str()) {
                ("or", _) => Some((Operator::Or, 1, 1)),
                ("and", _) => Some((Operator::And, 2, 1)),
                ("like", _) => Some((Operator::Like, 4, 1)),
                ("in", _) => Some((Operator::In, 4, 1)),
                ("not", "like") => Some((Operator::NotLike, 4, 2)),
                ("not", "in") => Some((Operator::NotIn, 4, 2)),
                _ => None,
            },
            _ => None,
        }
    }

    fn unary(&mut self) -> Result<Expression, String> {
        if self.word("not") {
            return Ok(Expression::Not(Box::new(self.expression(3)?)));
        }
        if self.symbol("-") {
            return Ok(Expression::Minus(Box::new(self.expression(7)?)));
        }
        match self.take() {
            Some(Token::Number(number)) => Ok(Expression::Number(number)),
            Some(Token::Period(millis)) => Ok(Expression::Period(millis)),
            Some(Token::Quoted(text)) => Ok(Expression::Text(text)),
            Some(Token::Pattern(pattern)) => Ok(Expression::Pattern(regex(&pattern)?)),
            Some(Token::Ticked(field)) => Ok(Expression::Field(field)),
            Some(Token::Symbol("(")) => {
                let inner = self.expression(0)?;
                self.closing(")")?;
                Ok(inner)
            }
            Some(Token::Symbol("[")) => {
                let all = self.arguments("]")?;
                Ok(Expression::List(all))
            }
            Some(Token::Symbol("*")) => Ok(Expression::Everything),
            Some(Token::Word(word)) if self.symbol("(") => {
                let name = word.to_ascii_lowercase();
                if !AGGREGATES.contains(&name.as_str()) && !FUNCTIONS.contains(&name.as_str()) {
                    return Err(format!("the function `{word}` is not known to the local target"));
                }
                Ok(Expression::Call(name, self.arguments(")")?))
            }
            Some(Token::Word(word)) => Ok(match word.to_ascii_lowercase().as_str() {
                "true" => Expression::Number(1.0),
                "false" => Expression::Number(0.0),
                _ => Expression::Field(word),
            }),
            Some(Token::Symbol(symbol)) => Err(format!("`{symbol}` is not expected here")),
            None => Err("the query ends where a field or value should be".to_owned()),
        }
    }

    fn arguments(&mut self, end: &'static str) -> Result<Vec<Expression>, String> {
        let mut all = Vec::new();
        if self.symbol(end) {
            return Ok(all);
        }
        loop {
            all.push(self.expression(0)?);
            if !self.symbol(",") {
                self.closing(end)?;
                return Ok(all);
            }
        }
    }

    fn closing(&mut self, end: &'static str) -> Result<(), String> {
        if self.symbol(end) {
            Ok(())
        } else {
            Err(format!("a `{end}` is missing"))
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += usize::from(token.is_some());
        token
    }

    fn word(&mut self, wanted: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(is_next);
        is_next
    }

    fn symbol(&mut self, wanted: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Symbol(symbol)) if *symbol == wanted);
        self.at += usize::from(is_next);
        is_next
    }
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("/{pattern}/ is not a valid pattern: {error}"))
}

/// Whether an expression makes one value of many rows.
fn aggregates(expression: &Expression) -> bool {
    match expression {
        Expression::Call(name, inner) => AGGREGATES.contains(&name.as_str()) || inner.iter().any(aggregates),
        Expression::Binary(_, left, right) => aggregates(left) || aggregates(right),
        Expression::Not(inner) | Expression::Minus(inner) => aggregates(inner),
        _ => false,
    }
}
