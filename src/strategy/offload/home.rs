//! How ranks begin together and end together, in real time: rank 0 asks each what time it is, and for its record.
//!
//! A rank may be lost at any moment, so they do nothing all together: rank 0 deals with one after the other, and the
//! others wait for its orders.

use super::live::Rank;
use super::offset::{Exchange, Offset, measure};
use super::post::Word;
use super::told::{Told, together};
use super::{GLANCE, Served};
use crate::comm::{Buffer, CommError, HEADER, Kind, Life, Tag};
use crate::strategy::TrainError;
use crate::units::{Bytes, Seconds};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_millis((GLANCE.0 * 1000.0) as u64);

impl Rank<'_> {
    /// Every rank's clock against rank 0's, at rank 0; requests come up from the end of it on.
    pub fn begin(&mut self) -> Result<Vec<Offset>, TrainError> {
        let mut all = vec![Offset::default(); self.comm().size()];
        if self.me() > 0 {
            while !self.dismissed {
                let Some(order) = self.worker.desk.post.obey(PATIENCE)? else { continue };
                let begins = order.word == Word::Begin;
                self.follow(order)?;
                if begins {
                    break;
                }
            }
            return Ok(all);
        }
        for (rank, known) in all.iter_mut().enumerate().skip(1) {
            match self.clock_of(rank)? {
                Some(offset) => *known = offset,
                None => self.go_on_without(&[rank])?,
            }
        }
        // Before the others hear of it: nothing begins earlier.
        self.start = self.worker.desk.now();
        self.command(Word::Begin, &[])?;
        Ok(all)
    }

    /// Ends: rank 0 has the record of all that live, with a second look at their clocks.
    pub fn end(mut self, mut offsets: Vec<Offset>) -> Result<Option<Served>, TrainError> {
        if self.me() > 0 {
            return self.hand_in().map(|()| None);
        }
        let mut all = vec![Some(self.record())];
        for (rank, offset) in offsets.iter_mut().enumerate().skip(1) {
            let heard = if self.gone.contains(&rank) { None } else { self.hear_out(rank)? };
            if heard.is_none() {
                self.go_on_without(&[rank])?;
            }
            all.push(heard.map(|(later, told)| {
                *offset = offset.until(later);
                told
            }));
        }
        self.see_off()?;
        let (header, origin) = (Bytes(HEADER as u64), self.start);
        Ok(Some(together(self.offload(), all, offsets, header, origin)))
    }

    /// What this rank has to tell of itself.
    fn record(&mut self) -> Told {
        let mut told = std::mem::take(&mut self.worker.desk.told);
        told.ledger.time = self.worker.desk.clock.now();
        told.ledger.computing = told.acts.iter().map(|(_, act)| act.end - act.start).sum();
        told.replanned = self.anew.len();
        told
    }

    /// Rank 0 looks at a rank's clock; nothing where the rank is lost.
    fn clock_of(&mut self, rank: usize) -> Result<Option<Offset>, TrainError> {
        measure(&mut || {
            let asked = self.worker.desk.clock.now();
            self.worker.desk.post.order(rank, Word::Ping, &[])?;
            let Some(report) = self.report_of(rank)? else { return Ok(None) };
            let heard = self.worker.desk.clock.now();
            let garbage = CommError::Garbage { from: rank, tag: Tag::Report, why: "it is no time" };
            let there = f64::from_ne_bytes(report.payload().try_into().map_err(|_| garbage)?);
            self.worker.desk.sweep()?;
            Ok(Some(Exchange { asked, there: Seconds(there), heard }))
        })
    }

    /// Tells rank 0 what time it is here.
    pub fn tell_time(&mut self) -> Result<(), TrainError> {
        let mut buffer = Buffer::new(Kind::F64, 1);
        buffer.payload_mut().copy_from_slice(&self.worker.desk.clock.now().0.to_ne_bytes());
        self.worker.desk.sweep()?;
        Ok(self.worker.desk.post.report(buffer)?)
    }

    fn hear_out(&mut self, rank: usize) -> Result<Option<(Offset, Told)>, TrainError> {
        let Some(later) = self.clock_of(rank)? else { return Ok(None) };
        self.worker.desk.post.order(rank, Word::Tell, &[])?;
        let report = self.report_of(rank)?;
        Ok(report.map(|report| Told::read(&report, rank)).transpose()?.map(|told| (later, told)))
    }

    /// What a rank reports, unless it is lost before.
    fn report_of(&self, rank: usize) -> Result<Option<Buffer>, CommError> {
        let comm = self.comm();
        let living = || comm.life(rank) == Life::Alive;
        loop {
            // Asked before looking: who ends in order looks lost among threads, and its report is there.
            let lives = living();
            let found = match comm.message_within(Some(rank), Tag::Report, PATIENCE) {
                Ok(Some(_)) => comm.recv_while(rank, Tag::Report, Buffer::open(Kind::F64), &living),
                Ok(None) if lives => continue,
                other => other.map(|_| None),
            };
            return match found {
                Err(error) if error.is_death() => Ok(None),
                found => found,
            };
        }
    }

    /// Gives rank 0 the record when it wants it.
    fn hand_in(&mut self) -> Result<(), TrainError> {
        while !self.asked && !self.dismissed {
            if let Some(order) = self.worker.desk.post.obey(PATIENCE)? {
                self.follow(order)?;
            }
        }
        if self.dismissed {
            self.gone.extend(0..self.comm().size());
        } else {
            let message = self.record().message();
            self.worker.desk.post.report(message)?;
        }
        self.see_off()
    }

    /// Waits until all that lives has what it was sent.
    fn see_off(&mut self) -> Result<(), TrainError> {
        /// From look to look.
        const MOMENT: Duration = Duration::from_millis(1);
        loop {
            self.worker.desk.post.give_up(&self.gone);
            self.worker.desk.sweep()?;
            if !self.worker.desk.post.is_busy() {
                return Ok(());
            }
            match self.me() {
                // Nobody sends it anything any more: a wait that keeps messages moving.
                0 => drop(self.comm().message_within(None, Tag::Report, MOMENT)?),
                _ => match self.worker.desk.post.obey(MOMENT) {
                    Ok(Some(order)) => self.follow(order)?,
                    Ok(None) => {}
                    // It has the record, or nobody needs it any more.
                    Err(error) if error.is_death() => {}
                    Err(error) => return Err(error.into()),
                },
            }
            if self.dismissed {
                self.gone.extend(0..self.comm().size());
            }
        }
    }
}
