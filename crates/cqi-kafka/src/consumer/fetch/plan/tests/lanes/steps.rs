//! What happens before all are left to themselves.

use super::*;

impl Lanes {
    /// Any step; what it does not apply to is left out.
    pub(super) fn step(&mut self, kind: u8, a: u8, b: u8) {
        let partition = i32::from(a) % PARTITIONS;
        let name = name(partition);
        let log = &mut self.world.logs[usize::try_from(partition).unwrap()];
        match kind {
            0 | 1 => log.append(i32::from(b % 8), i32::from(b / 32 % 3)),
            2..=9 if !self.workers.is_empty() => self.look_or_end(usize::from(a), b),
            10..=13 => {
                self.call(!b.is_multiple_of(16));
            }
            14 => self.world.now += Duration::from_millis(u64::from(b) * 4),
            15 => {
                let offset = i64::from(b) % (log.end + 2);
                if self.world.plan.seek(&name, offset).is_ok() {
                    self.world.cursors.insert(name, Some(offset));
                    self.changed();
                }
            }
            16 => {
                let to = match b.is_multiple_of(2) {
                    true => StartPosition::Earliest,
                    false => StartPosition::Latest,
                };
                if self.world.plan.seek_to(&name, to).is_ok() {
                    self.world.cursors.insert(name, None);
                    self.changed();
                }
            }
            17 => {
                self.world.plan.pause(&[name].into(), true);
                self.work();
            }
            18 => {
                self.world.plan.pause(&[name].into(), false);
                self.changed();
            }
            19 if b.is_multiple_of(2) => {
                self.world.remove(&name);
                self.changed();
            }
            19 | 20 if !self.world.cursors.contains_key(&name) => {
                let offset = i64::from(b / 2) % (log.end + 1);
                let known = b.is_multiple_of(2);
                self.world.assign(partition, known.then_some(offset));
                self.changed();
            }
            21 => self.world.lead(partition, i32::from(b) % NODES),
            22 if b.is_multiple_of(4) => log.start = (log.start + i64::from(b / 4)).min(log.end),
            22 if b % 4 == 1 => {
                self.known.remove(&name);
                self.follows = true;
            }
            22 => self.refresh(),
            23 if self.follows => self.follow(),
            24 => {
                self.look_up();
            }
            25 => {
                self.looked_up(b.is_multiple_of(3));
            }
            _ => {}
        }
    }

    /// Has a lane look for something to ask for, or its request end.
    fn look_or_end(&mut self, index: usize, chance: u8) {
        let index = index % self.workers.len();
        if self.look(index) {
            return;
        }
        let State::Asked(ask, _) = &self.workers[index].state else {
            return;
        };
        let mut parts = match self.honest(ask) {
            Some(parts) if chance.is_multiple_of(2) => parts,
            _ => {
                let chance = |index: u8| chance.wrapping_mul(31).wrapping_add(index);
                self.world.parts(ask, chance)
            }
        };
        match chance % 16 {
            1 => self.failed(index, None),
            3 => self.failed(index, Some(Error::forbidden("no ACL"))),
            5 => {
                // What the caller is told before it is asked for again.
                parts.truncate(1);
                parts.iter_mut().for_each(|part| part.error_code = 29);
                self.answered(index, parts);
            }
            7 => self.answered(index, Vec::new()),
            _ => self.answered(index, parts),
        }
    }
}
