//! The thread that writes.
//!
//! It keeps the bytes since the last `fdatasync` in memory. When a write or a sync fails it says so, refuses what waits, and
//! writes those bytes again from the last place that is surely on the disk, until that works. The chain never has to go back.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use safeconduct_ledger::{AppendError, Chain, CheckpointKey, segment_name};
use safeconduct_model::{Entry, Record, Timestamp};
use tokio::sync::oneshot;

use super::{Message, Options, Shared, WriteError, lock};
use crate::files::Sink;

/// How many records are written at once.
const BATCH_RECORDS: usize = 1_024;

/// How many bytes may be written without being on the disk.
const UNSYNCED_BYTES: usize = 8 << 20;

/// What the opener found.
pub(super) struct Start {
    pub(super) dir: PathBuf,
    pub(super) chain: Chain,
    pub(super) signer: CheckpointKey,
    pub(super) file: Box<dyn Sink>,
    pub(super) file_len: u64,
    pub(super) marks: Box<dyn Sink>,
    pub(super) marks_len: u64,
    /// Whether there is no segment yet.
    pub(super) fresh: bool,
    /// How many records a checkpoint covers.
    pub(super) signed: u64,
}

/// A reply that is owed, with the record that it is for.
type Owed = (oneshot::Sender<Result<u64, WriteError>>, u64);

/// The state of the thread.
pub(super) struct Worker {
    dir: PathBuf,
    shared: Arc<Shared>,
    options: Options,
    chain: Chain,
    signer: CheckpointKey,
    file: Box<dyn Sink>,
    /// Bytes of the file that are on the disk.
    synced: u64,
    /// The bytes behind them,
    tail: Vec<u8>,
    /// of which these many are in the file.
    in_file: usize,
    marks: Box<dyn Sink>,
    marks_len: u64,
    /// How many records a checkpoint covers.
    signed: u64,
    /// Replies for the records that are not in the file.
    owed: Vec<Owed>,
    /// The entries that are not in the file.
    entries: Vec<Arc<Entry>>,
    /// The last ticket that was taken from the queue.
    ticket: u64,
    /// The last ticket that is on the disk.
    ticket_synced: u64,
    last_sync: Instant,
    last_checkpoint: Instant,
    failing: bool,
}

impl Worker {
    pub(super) fn new(start: Start, shared: Arc<Shared>, options: Options) -> Self {
        let Start { dir, mut chain, signer, file, file_len, marks, marks_len, fresh, signed } = start;
        let mut tail = Vec::new();
        if fresh {
            chain.open_segment(&mut tail);
        }
        let now = Instant::now();
        Self {
            dir,
            shared,
            options,
            chain,
            signer,
            file,
            synced: file_len,
            tail,
            in_file: 0,
            marks,
            marks_len,
            signed,
            owed: Vec::new(),
            entries: Vec::new(),
            ticket: 0,
            ticket_synced: 0,
            last_sync: now,
            last_checkpoint: now,
            failing: false,
        }
    }

    /// Writes the first header and makes sure that what an earlier process wrote is on the disk.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.write()?;
        self.sync()
    }

    /// Works until the queue is closed.
    pub(super) fn run(&mut self, queue: &Receiver<Message>) {
        loop {
            let first = match self.patience() {
                Some(patience) => queue.recv_timeout(patience),
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let open = match first {
                Ok(message) => {
                    self.take(message);
                    self.take_more(queue)
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            self.work(!open);
            if !open {
                self.refuse_owed(&WriteError::Closed);
                lock(&self.shared.durable).clear();
                return;
            }
        }
    }

    /// How long to wait for the next message; `None` if nothing is due.
    fn patience(&self) -> Option<Duration> {
        if self.failing {
            return Some(self.options.retry_interval);
        }
        let left = |since: Instant, interval: Duration| interval.saturating_sub(since.elapsed());
        let sync = (!self.tail.is_empty()).then(|| left(self.last_sync, self.options.sync_interval));
        let checkpoint = self.unsigned().then(|| left(self.last_checkpoint, self.options.checkpoint_interval));
        [sync, checkpoint].into_iter().flatten().min()
    }

    /// Takes what else is in the queue, up to a batch; `false` if the queue is closed and empty.
    fn take_more(&mut self, queue: &Receiver<Message>) -> bool {
        for _ in 1..BATCH_RECORDS {
            match queue.try_recv() {
                Ok(message) => self.take(message),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    fn take(&mut self, message: Message) {
        if let Message::Append { ticket, at, record, reply } = message {
            self.ticket = ticket;
            self.append(at, record, reply);
        }
    }

    fn append(&mut self, at: Timestamp, record: Record, reply: oneshot::Sender<Result<u64, WriteError>>) {
        match self.chain.append(record, at, &mut self.tail) {
            Ok(entry) => {
                self.owed.push((reply, entry.seq));
                self.entries.push(Arc::new(entry));
            }
            // Whoever no longer waits for a reply does not need it.
            Err(AppendError::ClockWentBack { at, last }) => {
                let _ = reply.send(Err(WriteError::ClockWentBack { at, last }));
            }
            Err(e) => {
                let _ = reply.send(Err(WriteError::Record(e.to_string().into())));
            }
        }
    }

    /// Does what is due; `last` is the end, when everything is due.
    fn work(&mut self, last: bool) {
        let done = self.try_work(last);
        if let Err(e) = done {
            self.fail(&e);
        } else if self.failing {
            self.failing = false;
            lock(&self.shared.health).failure = None;
            tracing::info!("the ledger can be written again");
        }
        self.answer_durable();
    }

    fn try_work(&mut self, last: bool) -> io::Result<()> {
        self.write()?;
        let wanted = lock(&self.shared.durable).iter().any(|(t, _)| *t <= self.ticket && *t > self.ticket_synced);
        let due = self.last_sync.elapsed() >= self.options.sync_interval || self.tail.len() >= UNSYNCED_BYTES;
        if wanted || last || self.failing || (due && !self.tail.is_empty()) {
            self.sync()?;
        }
        let head = self.chain.head();
        let many = head.next_seq - self.signed >= self.options.checkpoint_records;
        let long = self.last_checkpoint.elapsed() >= self.options.checkpoint_interval;
        let full = self.synced + self.tail.len() as u64 >= self.options.segment_bytes;
        if self.unsigned() && (many || long || full || last) {
            self.sync()?;
            self.checkpoint()?;
        }
        if full && !last {
            self.rotate()?;
        }
        Ok(())
    }

    /// Whether there are records that no checkpoint covers.
    fn unsigned(&self) -> bool {
        self.chain.last_record().is_some_and(|end| end.next_seq > self.signed)
    }

    /// Hands everything to the kernel, and says so to whoever waits for that.
    fn write(&mut self) -> io::Result<()> {
        if self.in_file < self.tail.len() {
            if self.failing {
                self.file.cut(self.synced + self.in_file as u64)?;
            }
            self.file.write_all(&self.tail[self.in_file..])?;
            self.in_file = self.tail.len();
        }
        let written = self.chain.head().next_seq;
        lock(&self.shared.health).written = written;
        for entry in self.entries.drain(..) {
            // Nobody has to listen.
            let _ = self.shared.entries.send(entry);
        }
        for (reply, seq) in self.owed.drain(..) {
            let _ = reply.send(Ok(seq));
        }
        Ok(())
    }

    /// Brings everything that was written to the disk. A failed sync may have lost any of it, so all of it counts as unwritten.
    fn sync(&mut self) -> io::Result<()> {
        if let Err(e) = self.file.sync() {
            self.in_file = 0;
            return Err(e);
        }
        self.synced += self.tail.len() as u64;
        self.tail.clear();
        self.tail.shrink_to(UNSYNCED_BYTES);
        self.in_file = 0;
        self.ticket_synced = self.ticket;
        self.last_sync = Instant::now();
        lock(&self.shared.health).durable = self.chain.head().next_seq;
        Ok(())
    }

    /// Signs where the ledger stands. Everything must be on the disk.
    fn checkpoint(&mut self) -> io::Result<()> {
        let Some(end) = self.chain.last_record() else { return Ok(()) };
        let line = self.signer.checkpoint(end).line();
        if self.failing {
            // A part of a line may be there from the last attempt.
            self.marks.cut(self.marks_len)?;
        }
        self.marks.write_all(&line)?;
        self.marks.sync()?;
        self.marks_len += line.len() as u64;
        self.signed = end.next_seq;
        self.last_checkpoint = Instant::now();
        lock(&self.shared.health).signed = self.signed;
        Ok(())
    }

    /// Begins the next segment. Everything must be on the disk and signed.
    fn rotate(&mut self) -> io::Result<()> {
        let path = self.dir.join(segment_name(self.chain.head().segment + 1));
        let mut file = self.options.files.open(&path)?;
        file.cut(0)?;
        self.sync()?;
        self.file = file;
        self.synced = 0;
        self.chain.open_segment(&mut self.tail);
        self.write()
    }

    /// Says that writing fails, and refuses what waits. The bytes stay and are written when that works again.
    fn fail(&mut self, error: &io::Error) {
        let why: Arc<str> = error.to_string().into();
        if !self.failing {
            tracing::warn!("the ledger cannot be written: {error}");
        }
        self.failing = true;
        lock(&self.shared.health).failure = Some(Arc::clone(&why));
        self.refuse_owed(&WriteError::Failing { why });
    }

    fn refuse_owed(&mut self, error: &WriteError) {
        for (reply, _) in self.owed.drain(..) {
            let _ = reply.send(Err(error.clone()));
        }
    }

    /// Answers those who wait for the disk and whose record was taken from the queue.
    fn answer_durable(&mut self) {
        let why = lock(&self.shared.health).failure.clone();
        let mut waiting = lock(&self.shared.durable);
        let (taken, later) = waiting.drain(..).partition::<Vec<_>, _>(|(ticket, _)| *ticket <= self.ticket);
        *waiting = later;
        drop(waiting);
        for (ticket, reply) in taken {
            let answer = match &why {
                _ if ticket <= self.ticket_synced => Ok(()),
                Some(why) => Err(WriteError::Failing { why: Arc::clone(why) }),
                None => {
                    // It came after the last look: the next round syncs for it.
                    lock(&self.shared.durable).push((ticket, reply));
                    continue;
                }
            };
            let _ = reply.send(answer);
        }
    }
}
