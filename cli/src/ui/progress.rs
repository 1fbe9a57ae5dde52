//! Progress drawn on a terminal: one bar for the whole, a line for each thing that is being worked on.
//!
//! All of it is one frame below the lines that stay. A frame is erased whole and written anew, in one write. Its lines end before
//! the last column and are as short as what they say, so that a terminal that becomes narrower breaks few of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use console::Term;
use taskctl_stack::event::millis;
use taskctl_stack::plan::Verb;
use taskctl_stack::resource::ResourceId;

use super::guard::guarded;
use super::style::{Reader, Style, Tone};
use super::text::{columns, cut, duration, long_duration, plain};

/// Lines for things being worked on; the others are counted.
const LINES: usize = 8;
/// How often the frame is drawn anew when nothing happens.
pub const TICK: Duration = Duration::from_millis(120);
/// Columns of the bar.
const BAR: usize = 28;
/// What turns while something is being worked on.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Where frames are drawn.
pub trait Terminal: Send {
    /// Writes a text that may have control sequences.
    fn write(&mut self, text: &str);
    /// Columns and rows, now: terminals are resized.
    fn size(&self) -> (usize, usize);
}

impl Terminal for Term {
    fn write(&mut self, text: &str) {
        // A terminal that went away is no error: the work goes on, unseen.
        let _ = self.write_str(text).and_then(|()| self.flush());
    }

    fn size(&self) -> (usize, usize) {
        let (rows, columns) = Term::size(self);
        (columns.into(), rows.into())
    }
}

/// What is drawn.
pub struct Live {
    terminal: Box<dyn Terminal>,
    style: Style,
    /// The lines that are on the screen.
    frame: Vec<String>,
    build: Option<Phase>,
    read: Option<Phase>,
    bake: Option<Bake>,
    execution: Option<Execution>,
    running: Vec<Running>,
    waiting: VecDeque<Running>,
}

/// Something that takes its time, as a whole.
struct Phase {
    what: &'static str,
    detail: String,
    since: Instant,
}

/// A share of live's traffic that is being watched.
struct Bake {
    percent: u8,
    counts: String,
    since: Instant,
    of_millis: u64,
}

struct Execution {
    actions: usize,
    done: usize,
    since: Instant,
}

struct Running {
    id: ResourceId,
    verb: Verb,
    reason: String,
    since: Instant,
}

impl Live {
    /// Draws to standard error.
    pub fn stderr(style: Style) -> Self {
        Self::on(Box::new(Term::stderr()), style)
    }

    /// Draws to a terminal.
    pub fn on(terminal: Box<dyn Terminal>, style: Style) -> Self {
        Self {
            terminal,
            style,
            frame: Vec::new(),
            build: None,
            read: None,
            bake: None,
            execution: None,
            running: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A line that stays, above what is drawn.
    pub fn line(&mut self, text: &str) {
        let text = format!("{}\n", guarded(text, Reader::Terminal, self.style.paint));
        self.draw(&text);
    }

    /// Takes the frame off the screen, for who writes there next. The next event or tick draws it again.
    pub fn step_aside(&mut self) {
        let erase = erase(&self.frame, self.terminal.size());
        self.frame.clear();
        if !erase.is_empty() {
            self.terminal.write(&erase);
        }
    }

    /// Whether there is a frame.
    pub fn is_drawing(&self) -> bool {
        self.build.is_some()
            || self.read.is_some()
            || self.bake.is_some()
            || self.execution.is_some()
            || !self.running.is_empty()
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        self.draw("");
    }

    /// The build makes progress.
    pub fn building(&mut self, doing: &str) {
        let build = self.build.get_or_insert_with(|| Phase::begin("building the functions"));
        build.detail = plain(doing);
        self.draw("");
    }

    /// The build ended.
    pub fn built(&mut self) {
        self.build = None;
        self.draw("");
    }

    /// Existing resources are being read.
    pub fn reading(&mut self) {
        self.read = Some(Phase::begin("reading resources"));
        self.draw("");
    }

    /// They were read.
    pub fn was_read(&mut self) {
        self.read = None;
        self.draw("");
    }

    /// A share of live's traffic has been watched for so long.
    pub fn baking(&mut self, percent: u8, watched: Duration, of_millis: u64, counts: &str) {
        self.bake = Some(Bake {
            percent,
            counts: plain(counts),
            since: Instant::now().checked_sub(watched).unwrap_or_else(Instant::now),
            of_millis,
        });
        self.draw("");
    }

    /// It was judged.
    pub fn baked(&mut self) {
        self.bake = None;
        self.draw("");
    }

    /// So many actions begin.
    pub fn execution(&mut self, actions: usize) {
        self.execution = Some(Execution {
            actions,
            done: 0,
            since: Instant::now(),
        });
        self.draw("");
    }

    /// An action begins.
    pub fn begin(&mut self, id: &ResourceId, verb: Verb) {
        let running = Running {
            id: id.clone(),
            verb,
            reason: String::new(),
            since: Instant::now(),
        };
        if self.running.len() < LINES {
            self.running.push(running);
        } else {
            self.waiting.push_back(running);
        }
        self.draw("");
    }

    /// An action waits, or repeats a call.
    pub fn because(&mut self, id: &ResourceId, reason: &str) {
        let mut all = self.running.iter_mut().chain(&mut self.waiting);
        if let Some(running) = all.find(|running| running.id == *id) {
            running.reason = plain(reason);
            self.draw("");
        }
    }

    /// An action ended.
    pub fn end(&mut self, id: &ResourceId) {
        self.waiting.retain(|running| running.id != *id);
        if let Some(at) = self.running.iter().position(|running| running.id == *id) {
            self.running.remove(at);
            self.running.extend(self.waiting.pop_front());
        }
        if let Some(execution) = &mut self.execution {
            execution.done += 1;
        }
        self.draw("");
    }

    /// Takes everything away.
    pub fn clear(&mut self) {
        self.build = None;
        self.read = None;
        self.bake = None;
        self.execution = None;
        self.running.clear();
        self.waiting.clear();
        self.step_aside();
    }

    /// Writes lines that stay, and the frame below them.
    fn draw(&mut self, above: &str) {
        let size = self.terminal.size();
        let frame = self.lines(size);
        if above.is_empty() && frame == self.frame {
            return;
        }
        let mut text = erase(&self.frame, size);
        text.push_str(above);
        for line in &frame {
            text.push_str(line);
            text.push('\n');
        }
        self.frame = frame;
        self.terminal.write(&text);
    }

    /// The frame for a terminal of this size.
    fn lines(&self, (width, height): (usize, usize)) -> Vec<String> {
        let phases = [&self.build, &self.read].into_iter().flatten();
        let mut lines: Vec<String> = phases.map(|phase| self.phase(phase)).collect();
        lines.extend(self.bake.as_ref().map(|bake| self.bake(bake)));
        lines.extend(self.execution.as_ref().map(|execution| self.bar(execution)));
        lines.extend(self.running.iter().map(|running| self.running(running, width)));
        // The last row is the cursor's: a frame that scrolls away could not be erased.
        lines.truncate(height.saturating_sub(1));
        let fitted = lines.iter().map(|line| cut(line, width.saturating_sub(1)));
        fitted
            .map(|line| guarded(&line, Reader::Terminal, self.style.paint).into_owned())
            .collect()
    }

    fn phase(&self, phase: &Phase) -> String {
        let spinner = self.spinner(phase.since);
        let detail = self.style.paint(Tone::Faint, &phase.detail);
        format!("{spinner} {}  {}  {detail}", phase.what, elapsed(phase.since))
            .trim_end()
            .to_owned()
    }

    fn bake(&self, bake: &Bake) -> String {
        let spinner = self.spinner(bake.since);
        // Whole seconds: tenths would flicker.
        let seconds = |millis: u64| match millis {
            0..10_000 => format!("{} s", millis / 1_000),
            millis => duration(millis),
        };
        let watched = millis(bake.since.elapsed());
        format!(
            "{spinner} canary {}%  {} of {}  {}",
            bake.percent,
            seconds(watched),
            seconds(bake.of_millis),
            bake.counts
        )
    }

    fn bar(&self, execution: &Execution) -> String {
        let Execution { actions, done, since } = execution;
        let filled = (done * BAR / (*actions).max(1)).min(BAR);
        let head = if filled < BAR { "╸" } else { "" };
        let bar = format!("{}{head}", "━".repeat(filled));
        let rest = "─".repeat(BAR - columns(&bar));
        let more = match self.waiting.len() {
            0 => String::new(),
            more => format!("  and {more} more"),
        };
        format!(
            "{}{} {done}/{actions}  {}{more}",
            self.style.paint(Tone::Copy, &bar),
            self.style.paint(Tone::Faint, &rest),
            elapsed(*since)
        )
    }

    /// The time stands behind the words, which are cut before it.
    fn running(&self, running: &Running, width: usize) -> String {
        let reason = match running.reason.as_str() {
            "" => String::new(),
            reason => format!("  ({reason})"),
        };
        let words = format!("{:<9} {}{reason}", doing(running.verb), plain(&running.id.to_string()));
        let time = elapsed(running.since);
        let room = width.saturating_sub("  ⠋ ".chars().count() + 2 + columns(&time) + 1);
        format!("  {} {}  {time}", self.spinner(running.since), cut(&words, room))
    }

    fn spinner(&self, since: Instant) -> String {
        let turns = since.elapsed().as_millis() / TICK.as_millis();
        let at = usize::try_from(turns).unwrap_or(0) % SPINNER.len();
        self.style.paint(Tone::Copy, SPINNER[at])
    }
}

impl Phase {
    fn begin(what: &'static str) -> Self {
        Self {
            what,
            detail: String::new(),
            since: Instant::now(),
        }
    }
}

/// What takes a frame off the screen, with the cursor in the row below it. Lines that became wider than the terminal take more
/// rows than one: it breaks them when it becomes narrower.
fn erase(frame: &[String], (width, height): (usize, usize)) -> String {
    let rows = |line: &String| columns(line).div_ceil(width.max(1)).max(1);
    match frame.iter().map(rows).sum::<usize>().min(height.saturating_sub(1)) {
        0 => String::new(),
        rows => format!("\r\u{1b}[{rows}A\u{1b}[J"),
    }
}

fn elapsed(since: Instant) -> String {
    long_duration(since.elapsed().as_secs())
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;
    use crate::ui::style::{Motion, Paint};

    /// A terminal in memory, that shows what a real one would.
    #[derive(Clone)]
    pub struct Screen(Arc<Mutex<vt100::Parser>>);

    impl Screen {
        pub fn new(width: u16, height: u16) -> Self {
            Self(Arc::new(Mutex::new(vt100::Parser::new(height, width, 10_000))))
        }

        pub fn resize(&self, width: u16, height: u16) {
            self.0.lock().unwrap().screen_mut().set_size(height, width);
        }

        /// The lines on the screen.
        pub fn contents(&self) -> String {
            self.0.lock().unwrap().screen().contents()
        }

        /// The same with the sequences that color it.
        pub fn contents_formatted(&self) -> String {
            let bytes = self.0.lock().unwrap().screen().contents_formatted();
            String::from_utf8(bytes).unwrap()
        }

        /// Everything that was shown and is not erased, also what has scrolled away.
        pub fn everything(&self) -> Vec<String> {
            let mut parser = self.0.lock().unwrap();
            let screen = parser.screen_mut();
            screen.set_scrollback(usize::MAX);
            let (_, width) = screen.size();
            let mut lines = Vec::new();
            for back in (0..=screen.scrollback()).rev() {
                screen.set_scrollback(back);
                match back {
                    0 => lines.extend(screen.rows(0, width)),
                    _ => lines.extend(screen.rows(0, width).next()),
                }
            }
            while lines.last().is_some_and(String::is_empty) {
                lines.pop();
            }
            lines
        }
    }

    impl Terminal for Screen {
        fn write(&mut self, text: &str) {
            // As the line discipline of a terminal does.
            let text = text.replace('\n', "\r\n");
            self.0.lock().unwrap().process(text.as_bytes());
        }

        fn size(&self) -> (usize, usize) {
            let (rows, columns) = self.0.lock().unwrap().screen().size();
            (columns.into(), rows.into())
        }
    }

    fn style(paint: Paint) -> Style {
        Style {
            motion: Motion::Live,
            paint,
            ..Style::PLAIN
        }
    }

    fn thing(number: usize) -> ResourceId {
        ResourceId::new("thing", format!("{number:02}"))
    }

    #[test]
    fn more_than_fits_is_counted() {
        let screen = Screen::new(80, 40);
        let mut live = Live::on(Box::new(screen.clone()), Style::PLAIN);
        live.execution(30);
        (0..30).for_each(|number| live.begin(&thing(number), Verb::Create));
        assert!(screen.contents().contains("and 22 more"), "{}", screen.contents());
        assert!(!screen.contents().contains("thing.08"), "{}", screen.contents());
        live.end(&thing(0));
        live.tick();
        assert!(screen.contents().contains("and 21 more"), "{}", screen.contents());
        assert!(screen.contents().contains("thing.08"), "{}", screen.contents());
        live.clear();
        assert_eq!(screen.contents(), "");
    }

    /// What happens while something is drawn.
    #[derive(Debug, Clone)]
    enum Step {
        Building(String),
        Built,
        Reading,
        WasRead,
        Execution(usize),
        Begin(usize),
        Because(usize, String),
        End(usize),
        Line,
        Tick,
        Aside,
        Resize(u16, u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            "[a-z東 ]{0,120}".prop_map(Step::Building),
            Just(Step::Built),
            Just(Step::Reading),
            Just(Step::WasRead),
            (0usize..40).prop_map(Step::Execution),
            (0usize..40).prop_map(Step::Begin),
            (0usize..40, "[a-z東 ]{0,120}").prop_map(|(number, text)| Step::Because(number, text)),
            (0usize..40).prop_map(Step::End),
            Just(Step::Line),
            Just(Step::Tick),
            Just(Step::Aside),
            // Terminals that break lines anew when they become narrower cannot be had in memory: they only grow here.
            (0u16..20, 0u16..3).prop_map(|(width, height)| Step::Resize(width, height)),
        ]
    }

    proptest! {
        /// Whatever happens, only the lines that stay are left at the end, each once and in order.
        #[test]
        fn no_frame_is_left_behind(
            steps in proptest::collection::vec(step(), 0..80),
            width in 20u16..200,
            height in 2u16..50,
            paint in prop_oneof![Just(Paint::Plain), Just(Paint::Colored)],
        ) {
            let screen = Screen::new(width, height);
            let mut live = Live::on(Box::new(screen.clone()), style(paint));
            let mut said = Vec::new();
            for step in steps {
                match step {
                    Step::Building(text) => live.building(&text),
                    Step::Built => live.built(),
                    Step::Reading => live.reading(),
                    Step::WasRead => live.was_read(),
                    Step::Execution(actions) => live.execution(actions),
                    Step::Begin(number) => live.begin(&thing(number), Verb::Create),
                    Step::Because(number, text) => live.because(&thing(number), &text),
                    Step::End(number) => live.end(&thing(number)),
                    Step::Line => {
                        said.push(format!("line {}", said.len()));
                        live.line(said.last().unwrap());
                    }
                    Step::Tick => live.tick(),
                    Step::Aside => live.step_aside(),
                    Step::Resize(more, higher) => {
                        let (columns, rows) = screen.size();
                        let grown = |size: usize, more| u16::try_from(size).unwrap() + more;
                        screen.resize(grown(columns, more), grown(rows, higher));
                    }
                }
            }
            live.clear();
            prop_assert_eq!(screen.everything(), said);
        }
    }

    /// A terminal that becomes narrower breaks the lines of the frame: all their rows are erased.
    #[test]
    fn a_frame_that_was_broken_is_erased_whole() {
        let frame = ["x".repeat(79), "東".repeat(30), String::new()];
        assert_eq!(erase(&frame, (80, 24)), "\r\u{1b}[3A\u{1b}[J");
        assert_eq!(erase(&frame, (40, 24)), "\r\u{1b}[5A\u{1b}[J");
        assert_eq!(
            erase(&frame, (40, 4)),
            "\r\u{1b}[3A\u{1b}[J",
            "not what has scrolled away"
        );
        assert_eq!(erase(&[], (40, 4)), "");
    }
}
