//! Progress drawn on a terminal: one bar for the whole, a line for each thing that is being worked on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use taskctl_stack::plan::Verb;
use taskctl_stack::resource::ResourceId;

use super::guard::guarded;
use super::style::{Paint, Reader, Style};
use super::text::plain;

/// Lines for things being worked on; the others are counted.
const LINES: usize = 8;

/// How often the drawing moves.
const TICK: Duration = Duration::from_millis(120);

/// What is drawn.
pub struct Live {
    multi: MultiProgress,
    terminal: Box<dyn TermLike + Send>,
    style: Style,
    tick: Option<Duration>,
    bar: Option<ProgressBar>,
    build: Option<ProgressBar>,
    read: Option<ProgressBar>,
    running: Vec<Running>,
    waiting: VecDeque<Running>,
}

struct Running {
    id: ResourceId,
    verb: Verb,
    reason: String,
    since: Instant,
    line: Option<ProgressBar>,
}

impl Live {
    /// Draws to standard error.
    pub fn stderr(style: Style) -> Self {
        let target = |terminal| ProgressDrawTarget::term_like_with_hz(terminal, 12);
        Self::on(Term::buffered_stderr(), &target, style, Some(TICK))
    }

    /// Draws to a terminal; without a tick only what happens moves it.
    pub fn on<T: TermLike + Clone + Send + 'static>(
        terminal: T,
        target: &dyn Fn(Box<dyn TermLike>) -> ProgressDrawTarget,
        style: Style,
        tick: Option<Duration>,
    ) -> Self {
        Self {
            multi: MultiProgress::with_draw_target(target(Box::new(terminal.clone()))),
            terminal: Box::new(terminal),
            style,
            tick,
            bar: None,
            build: None,
            read: None,
            running: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A line that stays, above what is drawn.
    pub fn line(&self, text: &str) {
        let is_drawing = self.bar.is_some() || self.build.is_some() || self.read.is_some() || !self.running.is_empty();
        let text = &guarded(text, Reader::Terminal, self.style.paint);
        // The bars' own way fills each line with spaces, which is in the way of who copies it.
        let _ = if is_drawing {
            self.multi.println(text)
        } else {
            self.terminal.write_line(text).and_then(|()| self.terminal.flush())
        };
    }

    /// The build makes progress.
    pub fn building(&mut self, doing: &str) {
        if self.build.is_none() {
            self.build = Some(self.spinner("building the functions"));
        }
        if let Some(build) = &self.build {
            build.set_message(plain(doing));
        }
    }

    /// The build ended.
    pub fn built(&mut self) {
        self.take_away(|live| live.build.take());
    }

    /// Existing resources are being read.
    pub fn reading(&mut self) {
        self.read = Some(self.spinner("reading resources"));
    }

    /// They were read.
    pub fn was_read(&mut self) {
        self.take_away(|live| live.read.take());
    }

    /// So many actions begin.
    pub fn execution(&mut self, actions: usize) {
        let bar = ProgressBar::new(actions.try_into().unwrap_or(u64::MAX));
        bar.set_style(style("{bar:28} {pos}/{len}  {elapsed}  {wide_msg}", self.style).progress_chars("━╸─"));
        self.bar = Some(self.add(bar));
    }

    /// An action begins.
    pub fn begin(&mut self, id: &ResourceId, verb: Verb) {
        let mut running = Running {
            id: id.clone(),
            verb,
            reason: String::new(),
            since: Instant::now(),
            line: None,
        };
        if self.running.len() < LINES {
            self.show(&mut running);
            self.running.push(running);
        } else {
            self.waiting.push_back(running);
        }
        self.count_rest();
    }

    /// An action waits, or repeats a call.
    pub fn because(&mut self, id: &ResourceId, reason: &str) {
        if let Some(running) = self
            .running
            .iter_mut()
            .chain(&mut self.waiting)
            .find(|running| running.id == *id)
        {
            running.reason = plain(reason);
            if let Some(line) = &running.line {
                line.set_message(words(running));
            }
        }
    }

    /// An action ended.
    pub fn end(&mut self, id: &ResourceId) {
        self.waiting.retain(|running| running.id != *id);
        if let Some(at) = self.running.iter().position(|running| running.id == *id) {
            if let Some(line) = self.running.remove(at).line {
                self.remove(&line);
            }
            if let Some(mut next) = self.waiting.pop_front() {
                self.show(&mut next);
                self.running.push(next);
            }
        }
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        self.count_rest();
    }

    /// Takes everything away.
    pub fn clear(&mut self) {
        self.waiting.clear();
        for running in std::mem::take(&mut self.running) {
            if let Some(line) = running.line {
                self.remove(&line);
            }
        }
        self.built();
        self.was_read();
        self.take_away(|live| live.bar.take());
        let _ = self.multi.clear();
    }

    fn show(&self, running: &mut Running) {
        let line = ProgressBar::new_spinner().with_elapsed(running.since.elapsed());
        line.set_style(style("  {spinner} {wide_msg} {elapsed}", self.style));
        line.set_message(words(running));
        running.line = Some(self.add(line));
    }

    fn count_rest(&self) {
        if let Some(bar) = &self.bar {
            let rest = self.waiting.len();
            bar.set_message(if rest == 0 {
                String::new()
            } else {
                format!("and {rest} more")
            });
        }
    }

    fn spinner(&self, what: &'static str) -> ProgressBar {
        let spinner = ProgressBar::new_spinner();
        spinner.set_style(style("{spinner} {prefix}  {elapsed}  {wide_msg:.dim}", self.style));
        spinner.set_prefix(what);
        self.add(spinner)
    }

    fn add(&self, bar: ProgressBar) -> ProgressBar {
        let bar = self.multi.add(bar);
        bar.tick();
        if let Some(tick) = self.tick {
            bar.enable_steady_tick(tick);
        }
        bar
    }

    fn take_away(&mut self, bar: impl Fn(&mut Self) -> Option<ProgressBar>) {
        if let Some(bar) = bar(self) {
            self.remove(&bar);
        }
    }

    fn remove(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.multi.remove(bar);
    }
}

fn words(running: &Running) -> String {
    let id = plain(&running.id.to_string());
    let reason = if running.reason.is_empty() {
        String::new()
    } else {
        format!("  ({})", running.reason)
    };
    format!("{:<9} {id}{reason}", doing(running.verb))
}

/// A style whose template is known to be right; colours only where they are wanted.
fn style(template: &str, style: Style) -> ProgressStyle {
    let template = match style.paint {
        Paint::Colored => template
            .replace("{spinner}", "{spinner:.cyan}")
            .replace("{bar:28}", "{bar:28.cyan/dim}"),
        Paint::Plain => template.replace(":.dim}", "}"),
    };
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// What is being done to a resource.
pub fn doing(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "creating",
        Verb::Update => "changing",
        Verb::Replace => "replacing",
        Verb::Delete => "deleting",
        Verb::NoOp | Verb::Keep => "keeping",
    }
}
