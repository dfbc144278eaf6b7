use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Numbers that threads add to without waiting for each other: each thread adds to a copy that it
/// shares with few others, and a reader adds the copies up.
pub(crate) struct Cells {
    lines: Box<[Line]>,
    /// The lines of one copy.
    width: usize,
}

/// What a processor moves between its caches as one.
#[derive(Default)]
#[repr(align(64))]
struct Line([AtomicU64; LINE]);

const LINE: usize = 8;

/// How many copies there are: as many as threads can run at once, within reason.
static COPIES: LazyLock<usize> = LazyLock::new(|| {
    let threads = thread::available_parallelism().map_or(4, usize::from);
    threads.next_power_of_two().min(8)
});

fn copy() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static COPY: usize = NEXT.fetch_add(1, Relaxed) % *COPIES;
    }
    COPY.with(|copy| *copy)
}

impl Cells {
    pub(crate) fn new(cells: usize) -> Self {
        let width = cells.div_ceil(LINE);
        let lines = (0..width * *COPIES).map(|_| Line::default()).collect();
        Self { lines, width }
    }

    fn own(&self, cell: usize) -> &AtomicU64 {
        &self.lines[copy() * self.width + cell / LINE].0[cell % LINE]
    }

    fn all(&self, cell: usize) -> impl Iterator<Item = u64> {
        let lines = self.lines.iter().skip(cell / LINE).step_by(self.width);
        lines.map(move |line| line.0[cell % LINE].load(Relaxed))
    }

    /// Adds to a whole number, modulo 2^64.
    pub(crate) fn add(&self, cell: usize, amount: u64) {
        self.own(cell).fetch_add(amount, Relaxed);
    }

    /// Adds to a cell that holds the bits of a floating point number.
    pub(crate) fn add_f64(&self, cell: usize, amount: f64) {
        add_f64(self.own(cell), amount);
    }

    pub(crate) fn total(&self, cell: usize) -> u64 {
        self.all(cell).fold(0, u64::wrapping_add)
    }

    pub(crate) fn total_f64(&self, cell: usize) -> f64 {
        self.all(cell).map(f64::from_bits).sum()
    }
}

/// Adds to the bits of a floating point number.
pub(crate) fn add_f64(cell: &AtomicU64, amount: f64) {
    let mut now = cell.load(Relaxed);
    loop {
        let next = (f64::from_bits(now) + amount).to_bits();
        match cell.compare_exchange_weak(now, next, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(changed) => now = changed,
        }
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = (0..self.width * LINE).map(|cell| self.total(cell));
        f.debug_list().entries(totals).finish()
    }
}
