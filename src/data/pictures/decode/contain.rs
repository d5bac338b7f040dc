//! A panic in a decoder is a fault of the picture, not the end of the job.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is caught by [`panics`].
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs `work`; gives the words of its panic if it does.
///
/// The program's panic hook ends all ranks, and it runs before anything can be caught; so it is wrapped in one that
/// passes over the panics of this thread while `work` runs.
pub fn panics<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(|| {
        let rest = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !CAUGHT.get() {
                rest(panic);
            }
        }));
    });
    CAUGHT.set(true);
    // A decoder is thrown away after its panic: nobody sees its broken state.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(false);
    result.map_err(|panic| format!("the decoder gave up ({})", words(&*panic)))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_message_and_the_next_one_is_free() {
        assert_eq!(panics(|| 1), Ok(1));
        let message = panics(|| -> u8 { panic!("index {}", 7) }).unwrap_err();
        assert_eq!(message, "the decoder gave up (index 7)");
        assert!(!CAUGHT.get());
        assert_eq!(panics(|| -> u8 { panic!("short") }).unwrap_err(), "the decoder gave up (short)");
    }
}
