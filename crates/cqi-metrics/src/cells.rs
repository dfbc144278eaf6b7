use std::fmt;
use std::iter;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;

/// One of a kind for each of the threads that may run at once, which share it with few others.
pub(crate) struct Copies<T>(Box<[T]>);

/// How many copies there are: as many as threads can run at once, within reason.
static COPIES: LazyLock<usize> = LazyLock::new(|| {
    let threads = thread::available_parallelism().map_or(4, usize::from);
    threads.next_power_of_two().min(8)
});

impl<T> Copies<T> {
    pub(crate) fn new(copy: impl FnMut() -> T) -> Self {
        Self(iter::repeat_with(copy).take(*COPIES).collect())
    }

    /// Returns the copy of this thread.
    pub(crate) fn own(&self) -> &T {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static COPY: usize = NEXT.fetch_add(1, Relaxed) % *COPIES;
        }
        &self.0[COPY.with(|copy| *copy)]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

/// Numbers that threads add to without waiting for each other: each thread adds to a copy, and a
/// reader adds the copies up.
pub(crate) struct Cells {
    copies: Copies<Box<[Line]>>,
}

/// What a processor moves between its caches as one.
#[derive(Default)]
#[repr(align(64))]
struct Line([AtomicU64; LINE]);

const LINE: usize = 8;

impl Cells {
    pub(crate) fn new(cells: usize) -> Self {
        let lines = cells.div_ceil(LINE);
        Self {
            copies: Copies::new(|| (0..lines).map(|_| Line::default()).collect()),
        }
    }

    fn all(&self, cell: usize) -> impl Iterator<Item = u64> {
        self.copies
            .iter()
            .map(move |lines| cell_of(lines, cell).load(Relaxed))
    }

    /// Returns the copy of this thread.
    pub(crate) fn own(&self) -> Own<'_> {
        Own(self.copies.own())
    }

    pub(crate) fn total(&self, cell: usize) -> u64 {
        self.all(cell).fold(0, u64::wrapping_add)
    }

    pub(crate) fn total_f64(&self, cell: usize) -> f64 {
        self.all(cell).map(f64::from_bits).sum()
    }
}

/// One thread's copy of the cells.
pub(crate) struct Own<'a>(&'a [Line]);

impl Own<'_> {
    /// Adds to a whole number.
    pub(crate) fn add(&self, cell: usize, amount: u64) {
        cell_of(self.0, cell).fetch_add(amount, Relaxed);
    }

    /// Adds to a cell that holds the bits of a floating point number.
    pub(crate) fn add_f64(&self, cell: usize, amount: f64) {
        add_f64(cell_of(self.0, cell), amount);
    }
}

fn cell_of(lines: &[Line], cell: usize) -> &AtomicU64 {
    &lines[cell / LINE].0[cell % LINE]
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
        let cells = self.copies.own().len() * LINE;
        f.debug_list()
            .entries((0..cells).map(|cell| self.total(cell)))
            .finish()
    }
}
