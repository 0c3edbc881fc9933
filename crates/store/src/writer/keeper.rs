//! The thread that brings to the disk and signs, so that writing need not wait for the disk.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use safeconduct_ledger::{CheckpointKey, Head};

use super::{Shared, lock};
use crate::files::Sink;

/// What the thread is to do.
struct Job {
    file: Arc<Mutex<Box<dyn Sink>>>,
    /// How long the file is, and
    upto: u64,
    /// how many records there are then.
    records: u64,
    /// What is to be signed when that is done.
    sign: Option<Head>,
}

/// What the thread did.
pub(super) struct Done {
    /// These many bytes of the file,
    pub(super) upto: u64,
    /// with these many records, are on the disk; or not.
    pub(super) records: u64,
    pub(super) synced: io::Result<()>,
    /// Which record the checkpoint is of, if there was one to write.
    pub(super) signed: Option<io::Result<Head>>,
}

/// The file of the checkpoints.
pub(super) struct Marks {
    pub(super) file: Box<dyn Sink>,
    pub(super) len: u64,
    pub(super) signer: CheckpointKey,
    /// A part of a line may be there from the last attempt.
    pub(super) torn: bool,
}

/// The other end of the thread. At most one job is under way.
pub(super) struct Keeper {
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    file: Arc<Mutex<Box<dyn Sink>>>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread; `file` is another handle of the file that is written.
    pub(super) fn start(file: Box<dyn Sink>, mut marks: Marks, shared: Arc<Shared>) -> io::Result<Self> {
        let (jobs, to_do) = sync_channel::<Job>(1);
        let (tell, done) = sync_channel(1);
        let work = move || {
            for job in to_do {
                if tell.send(marks.work(job)).is_err() {
                    return;
                }
                shared.queue.hurry();
            }
        };
        let thread = std::thread::Builder::new().name("ledger-disk".into()).spawn(work)?;
        let file = Arc::new(Mutex::new(file));
        Ok(Self { jobs: Some(jobs), done, file, busy: false, thread: Some(thread) })
    }

    /// Another file is written from now on.
    pub(super) fn turn(&mut self, file: Box<dyn Sink>) {
        self.file = Arc::new(Mutex::new(file));
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Lets the thread bring to the disk what is in the file now, and sign where the ledger stood then.
    pub(super) fn order(&mut self, upto: u64, records: u64, sign: Option<Head>) -> io::Result<()> {
        let job = Job { file: Arc::clone(&self.file), upto, records, sign };
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)?;
        self.busy = true;
        Ok(())
    }

    /// What was done, if anything was.
    pub(super) fn poll(&mut self) -> Option<Done> {
        let done = self.done.try_recv().ok();
        self.busy &= done.is_none();
        done
    }

    /// Waits for what is under way.
    pub(super) fn wait(&mut self) -> io::Result<Option<Done>> {
        if !self.busy {
            return Ok(None);
        }
        self.busy = false;
        self.done.recv().map(Some).map_err(|_| gone())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that brings the ledger to the disk panicked");
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that brings the ledger to the disk has ended")
}

impl Marks {
    fn work(&mut self, job: Job) -> Done {
        let Job { file, upto, records, sign } = job;
        let synced = lock(&file).sync();
        let signed = sign.filter(|_| synced.is_ok()).map(|end| self.checkpoint(end).map(|()| end));
        Done { upto, records, synced, signed }
    }

    /// Signs where the ledger stood. Everything up to there is on the disk.
    fn checkpoint(&mut self, end: Head) -> io::Result<()> {
        let line = self.signer.checkpoint(end).line();
        if self.torn {
            self.file.cut(self.len)?;
        }
        self.torn = true;
        self.file.write_all(&line)?;
        self.file.sync()?;
        self.torn = false;
        self.len += line.len() as u64;
        Ok(())
    }
}
