//! Message move tasks: dead letters go back to where they came from, or to another queue. They go on after a restart.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html>

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Refusal;
use crate::error::LocalError;
use crate::files;
use crate::protocol::emulator_client::{EmulatorClient, EmulatorError};
use crate::services::queues::{MOST, Queue};

/// Tasks that are remembered of each queue.
const REMEMBERED: usize = 10;
/// Messages a second unless asked for fewer.
const FASTEST: u64 = 500;

/// All message move tasks.
pub(crate) struct MoveTasks {
    file: PathBuf,
    /// Oldest first.
    kept: Mutex<Vec<Task>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Task {
    id: String,
    source: String,
    destination: Option<String>,
    per_second: Option<u64>,
    to_move: u64,
    moved: u64,
    status: Status,
    failure: Option<String>,
    /// Milliseconds since the epoch.
    started: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    Running,
    Completed,
    Cancelled,
    Failed,
}

/// A task that begins.
pub(super) struct Start {
    pub source: String,
    /// None sends each message where it came from.
    pub destination: Option<String>,
    pub per_second: Option<u64>,
    pub to_move: u64,
}

impl MoveTasks {
    /// Reads the state on disk.
    pub(crate) fn open(file: PathBuf) -> Result<Self, LocalError> {
        let kept = files::read_json(&file)?.unwrap_or_default();
        Ok(Self {
            file,
            kept: Mutex::new(kept),
            changes: watch::Sender::new(0),
        })
    }

    pub(super) fn start(&self, start: Start) -> Result<Value, Refusal> {
        let Start {
            source,
            destination,
            per_second,
            to_move,
        } = start;
        let mut kept = self.kept.lock();
        if kept
            .iter()
            .any(|task| task.source == source && task.status == Status::Running)
        {
            return Err(Refusal::invalid(
                "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
            ));
        }
        let task = Task {
            id: uuid::Uuid::new_v4().to_string(),
            source,
            destination,
            per_second,
            to_move,
            moved: 0,
            status: Status::Running,
            failure: None,
            started: jiff::Timestamp::now().as_millisecond(),
        };
        let handle = handle(&task);
        let of_queue = kept.iter().filter(|one| one.source == task.source).count();
        if of_queue >= REMEMBERED
            && let Some(oldest) = kept.iter().position(|one| one.source == task.source)
        {
            kept.remove(oldest);
        }
        kept.push(task);
        self.keep(&kept);
        Ok(json!({"TaskHandle": handle}))
    }

    /// The tasks of a queue, newest first.
    pub(super) fn list(&self, source: &str, most: usize) -> Value {
        let kept = self.kept.lock();
        let of_queue = kept.iter().rev().filter(|task| task.source == source);
        json!({"Results": of_queue.take(most).map(view).collect::<Vec<Value>>()})
    }

    pub(super) fn cancel(&self, given: &str) -> Result<Value, Refusal> {
        let named = BASE64.decode(given).ok();
        let named: Value = named
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default();
        if named["taskId"].is_null() {
            return Err(Refusal::invalid("Value for parameter TaskHandle is invalid."));
        }
        let mut kept = self.kept.lock();
        let mut running = kept.iter_mut().filter(|task| task.status == Status::Running);
        let task = running.find(|task| handle(task) == given);
        let task = task.ok_or_else(|| Refusal::missing("Task does not exist."))?;
        task.status = Status::Cancelled;
        let moved = task.moved;
        self.keep(&kept);
        Ok(json!({"ApproximateNumberOfMessagesMoved": moved}))
    }

    /// Carries tasks out until `stop`.
    pub(crate) async fn run(&self, emulator: EmulatorClient, mut stop: watch::Receiver<bool>) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let running: Vec<Task> = {
                let kept = self.kept.lock();
                kept.iter()
                    .filter(|task| task.status == Status::Running)
                    .cloned()
                    .collect()
            };
            let mut pause = Duration::MAX;
            for task in running {
                let moved = move_some(&emulator, &task).await;
                let rate = task.per_second.unwrap_or(FASTEST);
                pause = pause.min(Duration::from_millis(
                    1_000 * moved.as_ref().map_or(1, |moved| *moved) / rate,
                ));
                self.note(&task.id, moved);
            }
            tokio::select! {
                () = sleep(pause), if pause < Duration::MAX => {}
                _ = changes.changed(), if pause == Duration::MAX => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn note(&self, id: &str, moved: Result<u64, EmulatorError>) {
        let mut kept = self.kept.lock();
        let Some(task) = kept.iter_mut().find(|task| task.id == id) else {
            return;
        };
        match moved {
            Ok(0) if task.status == Status::Running => task.status = Status::Completed,
            Ok(moved) => {
                task.moved += moved;
                task.to_move = task.to_move.max(task.moved);
            }
            Err(EmulatorError::Refused { code, .. }) => {
                task.status = Status::Failed;
                task.failure = Some(match code.as_str() {
                    "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue".to_owned(),
                    _ => code,
                });
            }
            // The emulator is started again.
            Err(EmulatorError::NoAnswer(_)) => return,
        }
        self.keep(&kept);
    }

    fn keep(&self, kept: &[Task]) {
        if let Err(error) = files::write_json(&self.file, &kept) {
            tracing::warn!(%error, "a message move task could not be saved");
        }
        self.changes.send_modify(|count| *count += 1);
    }
}

/// Moves some messages, and says how many. They are new ones where they arrive.
async fn move_some(emulator: &EmulatorClient, task: &Task) -> Result<u64, EmulatorError> {
    let Some(source) = Queue::parse(&task.source) else {
        return Ok(0);
    };
    let most = task.per_second.map_or(MOST, |rate| rate.try_into().unwrap_or(MOST));
    let messages = source.receive(emulator, most, 0).await?;
    let mut moved = 0;
    for message in &messages {
        let origin = message["Attributes"]["DeadLetterQueueSourceArn"].as_str();
        let destination = task.destination.as_deref().or(origin).and_then(Queue::parse);
        let Some(destination) = destination else {
            // Nobody knows where it came from.
            continue;
        };
        let sent = destination.send(emulator, copy(message, destination.is_fifo())).await;
        if let Err(error) = sent {
            source.give_back(emulator, &[message]).await?;
            return Err(error);
        }
        source.delete(emulator, &[message]).await?;
        moved += 1;
    }
    Ok(moved)
}

/// A message as it is sent again. Its deduplication id is another: the queue may still know the former.
fn copy(message: &Value, is_fifo: bool) -> Value {
    let mut copy = json!({"MessageBody": message["Body"]});
    if message["MessageAttributes"].is_object() {
        copy["MessageAttributes"] = message["MessageAttributes"].clone();
    }
    if is_fifo {
        copy["MessageGroupId"] = message["Attributes"]["MessageGroupId"].clone();
        copy["MessageDeduplicationId"] = json!(uuid::Uuid::new_v4().to_string());
    }
    copy
}

fn handle(task: &Task) -> String {
    BASE64.encode(json!({"taskId": task.id, "sourceArn": task.source}).to_string())
}

fn view(task: &Task) -> Value {
    let mut shown = json!({
        "Status": task.status,
        "SourceArn": task.source,
        "ApproximateNumberOfMessagesMoved": task.moved,
        "ApproximateNumberOfMessagesToMove": task.to_move,
        "StartedTimestamp": task.started,
    });
    // Only one that runs can be cancelled.
    if task.status == Status::Running {
        shown["TaskHandle"] = handle(task).into();
    }
    for (member, value) in [
        ("DestinationArn", task.destination.clone().map(Value::from)),
        ("MaxNumberOfMessagesPerSecond", task.per_second.map(Value::from)),
        ("FailureReason", task.failure.clone().map(Value::from)),
    ] {
        if let Some(value) = value {
            shown[member] = value;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    fn start(tasks: &MoveTasks) -> Result<Value, Refusal> {
        tasks.start(Start {
            source: "arn:q".to_owned(),
            destination: None,
            per_second: None,
            to_move: 2,
        })
    }

    #[test]
    fn one_task_of_a_queue_runs_until_there_is_nothing_left() {
        let directory = tempfile::tempdir().unwrap();
        let tasks = MoveTasks::open(directory.path().join("tasks.json")).unwrap();
        start(&tasks).unwrap();
        assert_eq!(start(&tasks).unwrap_err().query_code, "InvalidParameterValue");
        let id = tasks.kept.lock()[0].id.clone();
        tasks.note(&id, Ok(2));
        tasks.note(&id, Ok(0));
        let shown = &tasks.list("arn:q", 1)["Results"][0];
        assert_eq!(
            (&shown["Status"], &shown["ApproximateNumberOfMessagesMoved"]),
            (&json!("COMPLETED"), &json!(2))
        );
        assert_eq!(shown["TaskHandle"], Value::Null);
        start(&tasks).unwrap();
    }

    #[test]
    fn a_running_task_can_be_cancelled_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tasks.json");
        let handle = start(&MoveTasks::open(file.clone()).unwrap()).unwrap();
        let handle = handle["TaskHandle"].as_str().unwrap();
        let again = MoveTasks::open(file).unwrap();
        assert_eq!(again.cancel("x").unwrap_err().code, "InvalidParameterValueException");
        again.cancel(handle).unwrap();
        assert_eq!(again.cancel(handle).unwrap_err().message, "Task does not exist.");
        assert_eq!(again.list("arn:q", 1)["Results"][0]["Status"], "CANCELLED");
    }

    #[test]
    fn a_queue_that_is_gone_ends_a_task() {
        let directory = tempfile::tempdir().unwrap();
        let tasks = MoveTasks::open(directory.path().join("tasks.json")).unwrap();
        start(&tasks).unwrap();
        let id = tasks.kept.lock()[0].id.clone();
        let gone = EmulatorError::Refused {
            code: "QueueDoesNotExist".to_owned(),
            message: String::new(),
        };
        tasks.note(&id, Err(gone));
        let shown = &tasks.list("arn:q", 1)["Results"][0];
        assert_eq!(
            (&shown["Status"], &shown["FailureReason"]),
            (&json!("FAILED"), &json!("AWS.SimpleQueueService.NonExistentQueue"))
        );
    }
}
