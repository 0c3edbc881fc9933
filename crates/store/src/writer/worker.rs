//! The thread that writes.
//!
//! It hands bytes to the kernel; another thread brings them to the disk ([`super::keeper`]). It keeps the bytes that are not
//! surely there in memory. When a write or a sync fails it says so, refuses what waits, and writes those bytes again from the
//! last place that is on the disk, until that works. The chain never has to go back.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use safeconduct_ledger::{Chain, segment_name};
use safeconduct_model::{Record, SystemEvent};

use super::batch::Batch;
use super::keeper::{Done, Keeper, Marks};
use super::pending::Pending;
use super::progress::Goal;
use super::queue::Patience;
use super::{Options, Shared};
use crate::files::Sink;
use crate::reader::Position;

/// With this many bytes that are not on the disk, they are brought there.
const UNSYNCED_BYTES: usize = 8 << 20;

/// With this many of them, writing waits for the disk.
const MOST_UNSYNCED_BYTES: usize = 4 * UNSYNCED_BYTES;

/// A segment is closed when no more than this is to be brought to the disk, since writing has to wait for it.
const LITTLE_BYTES: usize = 256 << 10;

/// Subscribers get what was written after this long at the latest,
const PUBLISH_SPAN: Duration = Duration::from_millis(20);

/// or when there is this much of it.
const PUBLISH_RECORDS: usize = 1_024;

/// What the opener found.
pub(super) struct Start {
    pub(super) dir: PathBuf,
    pub(super) chain: Chain,
    pub(super) file: Box<dyn Sink>,
    pub(super) file_len: u64,
    pub(super) marks: Marks,
    /// Whether there is no segment yet.
    pub(super) fresh: bool,
    /// How many records a checkpoint covers.
    pub(super) signed: u64,
}

/// The state of the thread.
pub(super) struct Worker {
    dir: PathBuf,
    shared: Arc<Shared>,
    options: Options,
    chain: Chain,
    keeper: Keeper,
    file: Box<dyn Sink>,
    /// Bytes of the file that are on the disk.
    synced: u64,
    /// The bytes behind them,
    tail: Vec<u8>,
    /// of which these many are in the file.
    in_file: usize,
    /// How many records a checkpoint covers.
    signed: u64,
    /// The entries that no subscriber got yet.
    batch: Batch,
    last_publish: Instant,
    /// How many records are on the disk.
    durable: u64,
    last_sync: Instant,
    last_checkpoint: Instant,
    failing: bool,
    /// An empty list to take records with.
    taken: Pending,
}

/// Works until the queue is closed.
pub(super) fn run(shared: &Shared) {
    // However this ends, nobody waits for it any more.
    let _end = End(shared);
    let mut patience = Patience::Until(Duration::ZERO);
    loop {
        let open = shared.queue.rest(patience);
        // Whoever panicked while writing left it half done.
        let Ok(mut place) = shared.worker.lock() else { return };
        let Some(worker) = place.as_mut() else { return };
        patience = worker.turn(open);
        // The worker goes, with its files and its own thread.
        let gone = if open { None } else { place.take() };
        drop(place);
        drop(gone);
        shared.progress.wake();
        if !open {
            return;
        }
        // Someone who came meanwhile found the lock taken and relies on this look.
        if shared.help && shared.progress.is_awaited() && !shared.queue.is_empty() {
            patience = Patience::Until(Duration::ZERO);
        }
    }
}

impl Worker {
    pub(super) fn new(start: Start, shared: Arc<Shared>, options: Options) -> io::Result<Self> {
        let Start { dir, mut chain, file, file_len, marks, fresh, signed } = start;
        let keeper = Keeper::start(file.twin()?, marks, Arc::clone(&shared))?;
        let mut tail = Vec::new();
        if fresh {
            chain.open_segment(&mut tail);
        }
        let now = Instant::now();
        Ok(Self {
            dir,
            shared,
            options,
            chain,
            keeper,
            file,
            synced: file_len,
            tail,
            in_file: 0,
            signed,
            batch: Batch::default(),
            last_publish: now,
            durable: 0,
            last_sync: now,
            last_checkpoint: now,
            failing: false,
            taken: Pending::default(),
        })
    }

    /// Writes the first header and makes sure that what an earlier process wrote is on the disk.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.write()?;
        self.order(false)?;
        self.settle()
    }

    /// One turn of the thread: takes what waits and does what is due. Returns how long to rest.
    fn turn(&mut self, open: bool) -> Patience {
        let mut taken = std::mem::take(&mut self.taken);
        // What others wrote while the thread rested counts like its own: more will come.
        let some = self.shared.queue.take(&mut taken);
        self.place(&mut taken);
        self.taken = taken;
        self.work(!open, !some);
        self.patience(some)
    }

    /// Writes what waits for somebody who waits for it, without anything that takes long; `false` if there was nothing.
    pub(super) fn help(&mut self) -> bool {
        if self.may_rotate() {
            self.shared.queue.hurry();
            return false;
        }
        let mut taken = std::mem::take(&mut self.taken);
        let some = !self.failing && self.shared.queue.take_to_help(&mut taken);
        if some {
            self.place(&mut taken);
            if let Err(e) = self.write() {
                self.fail(&e);
            }
            if self.failing || self.tail.len() >= UNSYNCED_BYTES {
                self.shared.queue.hurry();
            }
        }
        self.taken = taken;
        some
    }

    /// How long to wait for more; `gather` says that there was something just now.
    fn patience(&self, gather: bool) -> Patience {
        if self.failing {
            return Patience::Until(self.options.retry_interval);
        }
        if gather {
            return Patience::Gather(self.options.gather);
        }
        let left = |since: Instant, interval: Duration| interval.saturating_sub(since.elapsed());
        // What is under way says itself when it is done.
        let sync =
            (!self.tail.is_empty() && !self.keeper.is_busy()).then(|| left(self.last_sync, self.options.sync_interval));
        let checkpoint = (self.unsigned() && !self.keeper.is_busy())
            .then(|| left(self.last_checkpoint, self.options.checkpoint_interval));
        [sync, checkpoint].into_iter().flatten().min().map_or(Patience::ForEver, Patience::Until)
    }

    /// Gives every record its place and its bytes.
    fn place(&mut self, taken: &mut Pending) {
        let mut slots = taken.take_slots();
        for slot in slots.drain(..) {
            let start = self.tail.len();
            let place = Position { segment: self.chain.head().segment, offset: self.synced + start as u64 };
            let placed = self.chain.append_body(&taken.body(&slot), slot.at, &mut self.tail);
            match placed {
                Ok(placed) => {
                    self.batch.push(taken, slot, (placed.seq, placed.at), place, self.tail.len() - start);
                }
                Err(error) => self.fill_in(&error, place),
            }
        }
        self.batch.seal(self.chain.head().hash);
        taken.put_back(slots);
    }

    /// Writes an alarm in the place of a record that the chain does not take, which the queue was to find out before: every
    /// record that was handed in has its number already.
    fn fill_in(&mut self, error: &dyn std::fmt::Display, place: Position) {
        tracing::error!(%error, "a record that was taken in could not be written; an alarm stands in its place");
        let detail = "a record that was taken in could not be written".to_owned();
        let record = Record::System(SystemEvent { event: "alarm".to_owned(), detail });
        let (mut alarm, at, start) = (Pending::default(), self.chain.head().last_at, self.tail.len());
        if let Ok(fitting) = super::Fitting::whole(record) {
            alarm.push(at, fitting);
        }
        for slot in alarm.take_slots() {
            if let Ok(placed) = self.chain.append_body(&alarm.body(&slot), at, &mut self.tail) {
                self.batch.push(&mut alarm, slot, (placed.seq, placed.at), place, self.tail.len() - start);
            }
        }
    }

    /// Does what is due; `last` is the end, when everything is due, and `calm` says that nothing came.
    fn work(&mut self, last: bool, calm: bool) {
        let done = self.try_work(last);
        if let Err(e) = done {
            self.fail(&e);
            return;
        }
        if self.failing {
            self.failing = false;
            self.shared.progress.heal();
            tracing::info!("the ledger can be written again");
        }
        if last || calm || self.batch.len() >= PUBLISH_RECORDS || self.last_publish.elapsed() >= PUBLISH_SPAN {
            self.publish();
        }
    }

    fn try_work(&mut self, last: bool) -> io::Result<()> {
        if let Some(done) = self.keeper.poll() {
            self.apply(done)?;
        }
        self.write()?;
        let many = self.chain.head().next_seq - self.signed >= self.options.checkpoint_records;
        let long = self.last_checkpoint.elapsed() >= self.options.checkpoint_interval;
        if last || self.failing {
            return self.keep_all(self.unsigned());
        }
        if self.may_rotate() {
            return self.rotate();
        }
        let full = self.is_full();
        let wanted = self.shared.progress.wanted().min(self.chain.head().next_seq) > self.durable;
        let due = self.last_sync.elapsed() >= self.options.sync_interval || self.tail.len() >= UNSYNCED_BYTES;
        let sign = self.unsigned() && (many || long);
        if self.tail.len() >= MOST_UNSYNCED_BYTES {
            self.settle()?;
        }
        if (wanted || sign || full || (due && !self.tail.is_empty())) && !self.keeper.is_busy() {
            self.order(sign)?;
        }
        Ok(())
    }

    /// Hands subscribers what was written. Nobody has to listen.
    fn publish(&mut self) {
        self.last_publish = Instant::now();
        if !self.batch.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            if self.shared.batches.receiver_count() > 0 {
                let _ = self.shared.batches.send(Arc::new(batch));
            }
        }
    }

    fn is_full(&self) -> bool {
        self.len() >= self.options.segment_bytes
    }

    /// Whether the segment is full, and closing it does not take long, or cannot wait.
    fn may_rotate(&self) -> bool {
        let little = self.tail.len() <= LITTLE_BYTES;
        self.is_full() && (little || self.len() >= self.options.segment_bytes + MOST_UNSYNCED_BYTES as u64)
    }

    /// How long the segment is.
    fn len(&self) -> u64 {
        self.synced + self.tail.len() as u64
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
        self.shared.progress.reach(Goal::Written, self.chain.head().next_seq);
        Ok(())
    }

    /// Lets everything that was written be brought to the disk, and be signed.
    fn order(&mut self, sign: bool) -> io::Result<()> {
        self.last_sync = Instant::now();
        let sign = self.chain.last_record().filter(|_| sign);
        self.keeper.order(self.synced + self.in_file as u64, self.chain.head().next_seq, sign)
    }

    /// Waits until what is under way is done.
    fn settle(&mut self) -> io::Result<()> {
        match self.keeper.wait()? {
            Some(done) => self.apply(done),
            None => Ok(()),
        }
    }

    /// Waits until everything is on the disk, and signed if `sign` says so.
    fn keep_all(&mut self, sign: bool) -> io::Result<()> {
        self.settle()?;
        if !self.tail.is_empty() || (sign && self.unsigned()) {
            self.order(sign && self.unsigned())?;
        }
        self.settle()
    }

    /// Takes note of what is on the disk. A failed sync may have lost anything behind the last one that worked, so all of it
    /// counts as unwritten.
    fn apply(&mut self, done: Done) -> io::Result<()> {
        if let Err(e) = done.synced {
            self.in_file = 0;
            return Err(e);
        }
        let bytes = usize::try_from(done.upto - self.synced).expect("it was in memory");
        self.tail.drain(..bytes);
        self.tail.shrink_to(UNSYNCED_BYTES);
        self.in_file -= bytes;
        self.synced = done.upto;
        self.durable = done.records;
        self.shared.progress.reach(Goal::Durable, self.durable);
        if let Some(signed) = done.signed {
            self.signed = signed?.next_seq;
            self.last_checkpoint = Instant::now();
            self.shared.progress.set_signed(self.signed);
        }
        Ok(())
    }

    /// Begins the next segment, when everything is on the disk and signed.
    fn rotate(&mut self) -> io::Result<()> {
        self.keep_all(true)?;
        let path = self.dir.join(segment_name(self.chain.head().segment + 1));
        let mut file = self.options.files.open(&path)?;
        file.cut(0)?;
        // A batch is in one segment.
        self.publish();
        self.keeper.turn(file.twin()?);
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
        self.shared.progress.fail(why, self.chain.head().next_seq);
    }
}

/// Says that the thread has ended, a panic included.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.progress.end();
    }
}
