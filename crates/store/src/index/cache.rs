//! The blocks of the database that were read last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::block::Block;

/// How many blocks are held.
const BLOCKS: usize = 4;

/// Some blocks: pages are read one behind the other, and a page row by row.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<VecDeque<Arc<Block>>>);

impl Cache {
    pub(super) fn find(&self, first_seq: i64) -> Option<Arc<Block>> {
        self.blocks().iter().find(|block| i64::try_from(block.first_seq) == Ok(first_seq)).cloned()
    }

    pub(super) fn keep(&self, block: Arc<Block>) {
        let mut blocks = self.blocks();
        blocks.truncate(BLOCKS - 1);
        blocks.push_front(block);
    }

    fn blocks(&self) -> MutexGuard<'_, VecDeque<Arc<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
