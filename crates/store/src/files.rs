//! The few things that the ledger writer asks of a file system, so that a test can let each of them fail.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// A file that only grows at its end.
pub trait Sink: Write + Send {
    /// Brings what was written to the disk (`fdatasync`).
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to `len` bytes; the next write follows there.
    ///
    /// # Errors
    /// What the system says.
    fn cut(&mut self, len: u64) -> io::Result<()>;

    /// Another handle of the same file: one thread writes with this one while another syncs with that one.
    ///
    /// # Errors
    /// What the system says.
    fn twin(&self) -> io::Result<Box<dyn Sink>>;
}

/// Where the files of the ledger come from.
pub trait Files: Send + Sync {
    /// Opens a file for appending and makes it if it is not there; a new name is on the disk when this returns.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Sink>>;
}

/// The files of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFiles;

impl Files for OsFiles {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(Box::new(file))
    }
}

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn twin(&self) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(self.try_clone()?))
    }
}
