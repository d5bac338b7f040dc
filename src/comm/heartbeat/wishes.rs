//! What a heartbeat's owner asks of its thread.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long a last word is waited for to be heard.
pub const LAST_WORDS: Duration = Duration::from_millis(200);
/// From beat to beat where no silence is judged.
const CALM: Duration = Duration::from_millis(500);

/// The wishes: the owner writes, the thread reads.
#[derive(Debug, Default)]
pub struct Wishes {
    timeout_ms: AtomicU64,
    closed: AtomicBool,
    /// 0 while it goes on, else a [`LastWord`].
    last: AtomicU16,
    done: AtomicBool,
}

/// How the thread ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastWord {
    /// In order.
    Farewell,
    /// Without a word: to the others this rank is lost.
    Nothing,
    /// The whole job ends with this code.
    End(u8),
}

impl Wishes {
    /// Who is not heard of for so long is silent; zero: nobody ever is.
    pub fn set_timeout(&self, timeout: Duration) {
        let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.timeout_ms.store(if timeout.is_zero() { 0 } else { ms.max(1) }, Relaxed);
    }

    /// The timeout, if there is one.
    pub fn timeout(&self) -> Option<Duration> {
        Some(self.timeout_ms.load(Relaxed)).filter(|ms| *ms > 0).map(Duration::from_millis)
    }

    /// From beat to beat: four in a timeout.
    pub fn period(&self) -> Duration {
        self.timeout().map_or(CALM, |timeout| timeout / 4)
    }

    /// Nobody else will come: the listening socket can go.
    pub fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// Whether nobody else will come.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Asks the thread to end; the first word counts.
    pub fn end(&self, word: LastWord) {
        let word = match word {
            LastWord::Farewell => 1,
            LastWord::Nothing => 2,
            LastWord::End(code) => 0x100 | u16::from(code),
        };
        let _ = self.last.compare_exchange(0, word, Relaxed, Relaxed);
    }

    /// How to end, once it is time to.
    pub fn last_word(&self) -> Option<LastWord> {
        match self.last.load(Relaxed) {
            0 => None,
            1 => Some(LastWord::Farewell),
            2 => Some(LastWord::Nothing),
            word => Some(LastWord::End(word.to_le_bytes()[0])),
        }
    }

    /// The thread has ended.
    pub fn done(&self) {
        self.done.store(true, Relaxed);
    }

    /// Waits a little until the thread has ended.
    pub fn wait(&self) {
        let until = Instant::now() + 2 * LAST_WORDS;
        while !self.done.load(Relaxed) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
