//! One socket of the heartbeat: whole frames in, whole frames out, and never a wait that nobody asked for.

use super::frame::{Frame, LEN};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// A socket with room for one frame each way. Whether reading waits is the socket's own setting.
pub struct Wire {
    stream: TcpStream,
    token: u64,
    inbox: [u8; LEN],
    filled: usize,
    outbox: [u8; LEN],
    unsent: usize,
}

/// What a look at a socket found.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A frame of this job.
    Frame(Frame),
    /// No whole frame yet.
    Nothing,
    /// The other side is gone, or is none of ours.
    Closed,
}

impl Wire {
    /// Frames of the job with this token on this socket.
    pub fn new(stream: TcpStream, token: u64) -> Self {
        // A beat is one small packet; holding it back for company would only make it late.
        let _ = stream.set_nodelay(true);
        Self { stream, token, inbox: [0; LEN], filled: 0, outbox: [0; LEN], unsent: 0 }
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Tells the other side that nothing more will come. Until it has closed, what it still sends must be read: a socket
    /// that is closed on unread bytes resets the connection, and the other side may never see the last words.
    pub fn end(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Reads once, at most what one frame still lacks.
    pub fn receive(&mut self) -> Heard {
        match self.stream.read(&mut self.inbox[self.filled..]) {
            Ok(0) => Heard::Closed,
            Ok(read) => {
                self.filled += read;
                if self.filled < LEN {
                    return Heard::Nothing;
                }
                self.filled = 0;
                Frame::read(&self.inbox, self.token).map_or(Heard::Closed, Heard::Frame)
            }
            Err(error) if waits(&error) => Heard::Nothing,
            Err(_) => Heard::Closed,
        }
    }

    /// Sends a frame, or, where the other side reads nothing for long and its socket is full, leaves it out.
    ///
    /// A socket that is gone is found by reading.
    pub fn send(&mut self, frame: Frame) {
        if self.flush() {
            self.outbox = frame.write(self.token);
            self.unsent = LEN;
            self.flush();
        }
    }

    /// Sends what is left of the last frame; whether that is all out.
    fn flush(&mut self) -> bool {
        while self.unsent > 0 {
            match self.stream.write(&self.outbox[LEN - self.unsent..]) {
                Ok(sent) if sent > 0 => self.unsent -= sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return false,
            }
        }
        true
    }
}

/// Whether an error only says that there is nothing to read yet.
fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
