//! Cancels at every point, and at random ones.

use super::*;

/// xorshift64*, Vigna 2016.
#[derive(Clone)]
struct Random(Rc<Cell<u64>>);

impl Random {
    fn below(&self, n: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

async fn three_deep(living: Living) -> Result<(), ErrorGroup> {
    group(async |g| {
        let (life, inner) = (living.one(), living.clone());
        g.spawn(group(async move |g| {
            let _life = inner.one();
            let (a, b) = (inner.clone(), inner.clone());
            g.spawn(async move {
                let _life = a.one();
                let caught = catch(turns(4)).await;
                turns(2).await;
                match caught {
                    Ok(()) => Err::<(), _>(Slipped(1)),
                    Err(cancelled) => match cancelled.propagate().await {},
                }
            })
            .unwrap();
            let mut set = JoinSet::new();
            set.spawn(async move {
                let _life = b.one();
                turns(3).await;
            });
            while set.join_next().await.is_some() {}
            pending::<()>().await;
        }))
        .unwrap();
        turns(2).await;
        drop(life);
        tidy(2, |_| ()).await;
    })
    .await
}

#[test]
fn cancelled_or_aborted_after_any_number_of_turns_a_tree_of_groups_leaves_nothing_behind() {
    for aborted in [false, true] {
        for point in 0..20 {
            doc(async move {
                let living = Living::default();
                let task = spawn(three_deep(living.clone()));
                turns(point).await;
                let asked = if aborted { task.abort() } else { task.cancel() };
                match task.await {
                    Ok(failed) => {
                        assert_eq!(failed.unwrap_err().to_string(), "1 failure\n└─ 1 failure\n   └─ slipped at 1");
                    }
                    Err(error) => assert!(asked && error.is_cancelled()),
                }
                assert_eq!((living.0.get(), all_tasks().len()), (0, 1), "at {point}, aborted: {aborted}");
            });
        }
    }
}

/// One after the other, whatever waits for several.
async fn in_every_way(living: Living) -> usize {
    let _life = living.one();
    let clean = |n: usize| {
        let living = living.clone();
        async move {
            let _life = living.one();
            let caught = catch(turns(n)).await;
            turns(1).await;
            match caught {
                Ok(()) => living.one(),
                Err(cancelled) => match cancelled.propagate().await {},
            }
        }
    };
    let tasks = || [2, 1, 3].map(|n| spawn(clean(n)));
    let mut count = gather(tasks()).await.unwrap().len();
    count += gather_all(tasks()).await.len();
    let Waited { done, pending } = wait(tasks(), When::FirstCompleted).await;
    count += done.len() + gather(pending).await.unwrap().len();
    let mut ended = as_completed(tasks());
    count += usize::from(ended.next().await.is_some());
    count += gather(ended.rest()).await.unwrap().len();
    let (one, nested) = join((clean(1), gather(tasks()))).await;
    count += 1 + nested.unwrap().len();
    drop(one);
    let plain = |n| {
        let life = living.one();
        async move {
            turns(n).await;
            life
        }
    };
    drop(race((plain(2), plain(3))).await);
    count
}

#[test]
fn cancelled_or_aborted_after_any_number_of_turns_whatever_waits_for_several_leaves_nothing_behind() {
    for aborted in [false, true] {
        let mut outputs = 0;
        for point in 0..50 {
            outputs += doc(async move {
                let living = Living::default();
                let task = spawn(in_every_way(living.clone()));
                turns(point).await;
                let asked = if aborted { task.abort() } else { task.cancel() };
                let outcome = task.await;
                turns(9).await; // those that go on by themselves
                assert_eq!((living.0.get(), all_tasks().len()), (0, 1), "at {point}, aborted: {aborted}");
                match outcome {
                    Ok(count) => {
                        assert_eq!((count, asked), (16, false), "at {point}");
                        1
                    }
                    Err(error) => {
                        assert!(asked && error.is_cancelled(), "at {point}");
                        0
                    }
                }
            });
        }
        assert!((1..50).contains(&outputs), "{outputs} of 50 ended before they were asked");
    }
}

/// A node of a random tree: a group whose children are nodes; some clean up, some fail, some end their group.
fn node(
    depth: u64,
    living: Living,
    random: Random,
    targets: Rc<RefCell<Vec<AbortHandle>>>,
) -> Pin<Box<dyn Future<Output = Result<(), ErrorGroup>>>> {
    Box::pin(async move {
        let _life = living.one();
        group(async |g| {
            for _ in 0..if depth == 0 { 0 } else { 1 + random.below(3) } {
                let child = node(depth - 1, living.clone(), random.clone(), targets.clone());
                let Ok(child) = g.spawn(child) else { break };
                targets.borrow_mut().push(child.abort_handle());
                turns(random.below(2) as usize).await;
            }
            let _life = living.one();
            match random.below(6) {
                0 => Err(Slipped(1)),
                1 => {
                    g.cancel();
                    Ok(())
                }
                2 => {
                    tidy(random.below(4) as usize, |_| ()).await;
                    Ok(())
                }
                _ => {
                    turns(random.below(12) as usize).await;
                    Ok(())
                }
            }
        })
        .await
    })
}

#[test]
fn a_hundred_thousand_random_cancels_over_trees_of_groups_leave_nothing_behind() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x0057_1d1a_55ea_51de);
    println!("SEED={seed}");
    let random = Random(Rc::new(Cell::new(seed)));
    let (mut cancels, mut made) = (0, 0);
    while cancels < 100_000 {
        let (random, before) = (random.clone(), cancels);
        let (count, lives) = doc(async move {
            let (living, targets) = (Living::default(), Rc::new(RefCell::new(Vec::new())));
            let (mut roots, mut count) = (Vec::new(), 0);
            for _ in 0..500 {
                let root = spawn(node(3, living.clone(), random.clone(), targets.clone()));
                targets.borrow_mut().push(root.abort_handle());
                roots.push(root);
                turns(1 + random.below(2) as usize).await;
                for _ in 0..4 {
                    // One of those spawned lately: most of them live.
                    let target = {
                        let targets = targets.borrow();
                        targets[targets.len() - 1 - random.below(30.min(targets.len() as u64)) as usize]
                    };
                    count += match random.below(8) {
                        0 => target.abort() as u64,
                        _ => target.cancel() as u64,
                    };
                }
            }
            for root in &roots {
                root.cancel();
            }
            turns(100).await;
            assert!(roots.iter().all(JoinHandle::is_finished), "each has heard of a cancel, and cleaned up");
            assert_eq!((living.0.get(), all_tasks().len()), (0, 1), "after {before} cancels");
            (count, living.1.get())
        });
        cancels += count;
        made += lives;
    }
    assert!(made > 100_000, "{made} lives");
}
