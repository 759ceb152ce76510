//! A cancel meets the ends that somebody waits for, in each way there is, whatever it is that waits.
//!
//! ```text
//!                          gather…            as_completed, wait         join, race
//!   the tasks or futures   end with it        go on                      are dropped with it
//!   the outputs            are dropped        are with whoever kept it   are dropped with it
//! ```

use super::*;
use crate::cell::TaskRef;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waiter {
    Gather,
    TryGather,
    GatherAll,
    AsCompleted,
    Wait,
    Join,
    TryJoin,
    Race,
}

use Waiter::*;

const WAITERS: [Waiter; 8] = [Gather, TryGather, GatherAll, AsCompleted, Wait, Join, TryJoin, Race];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Meeting {
    CancelBeforeTheFirstPoll,
    CancelWhileItWaits,
    EndsThenCancel,
    CancelThenEnds,
    OneEndsThenCancelThenTheOthers,
    CancelAfterwards,
    Drop,
}

use Meeting::*;

const MEETINGS: [Meeting; 7] = [
    CancelBeforeTheFirstPoll,
    CancelWhileItWaits,
    EndsThenCancel,
    CancelThenEnds,
    OneEndsThenCancelThenTheOthers,
    CancelAfterwards,
    Drop,
];

/// Where one waits until it is let through.
#[derive(Clone, Default)]
struct Gate(Rc<(Cell<bool>, Cell<Option<Waker>>)>);

impl Gate {
    fn open(&self) {
        self.0.0.set(true);
        self.0.1.take().into_iter().for_each(Waker::wake);
    }

    /// Gives something that lives, and counts.
    async fn pass(self, living: Living) -> Result<Life, Slipped> {
        let _here = living.one();
        poll_fn(|cx| {
            self.0.1.set(Some(cx.waker().clone()));
            if self.0.0.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Ok(living.one())
    }
}

struct Scene {
    gates: Vec<Gate>,
    living: Living,
    tasks: Vec<TaskRef>,
}

impl Scene {
    fn new() -> Self {
        Scene { gates: (0..3).map(|_| Gate::default()).collect(), living: Living::default(), tasks: Vec::new() }
    }

    fn futures(&self) -> Vec<impl Future<Output = Result<Life, Slipped>> + use<>> {
        self.gates.iter().map(|gate| gate.clone().pass(self.living.clone())).collect()
    }

    fn tasks(&mut self) -> Vec<JoinHandle<Result<Life, Slipped>>> {
        let handles: Vec<_> = self.futures().into_iter().map(spawn).collect();
        self.tasks = handles.iter().map(|handle| handle.task().clone()).collect();
        handles
    }

    /// A task that waits for all three, or the first, and gives how many outputs it got.
    fn waiter(&mut self, waiter: Waiter) -> JoinHandle<usize> {
        let futures = self.futures();
        match waiter {
            Gather => {
                let all = gather(self.tasks());
                spawn(async { all.await.unwrap().len() })
            }
            TryGather => {
                let all = try_gather(self.tasks());
                spawn(async { all.await.unwrap().unwrap().len() })
            }
            GatherAll => {
                let all = gather_all(self.tasks());
                spawn(async { all.await.len() })
            }
            AsCompleted => {
                let mut ended = as_completed(self.tasks());
                spawn(async move {
                    let mut count = 0;
                    while ended.next().await.is_some() {
                        count += 1;
                    }
                    count
                })
            }
            Wait => {
                let all = wait(self.tasks(), When::AllCompleted);
                spawn(async { all.await.done.len() })
            }
            Join => spawn(async { join(futures).await.len() }),
            TryJoin => spawn(async { try_join(futures).await.unwrap().len() }),
            Race => spawn(async { race(futures).await.into_iter().count() }),
        }
    }

    fn open(&self) {
        self.gates.iter().for_each(Gate::open);
    }

    async fn play(&self, meeting: Meeting, task: &JoinHandle<impl Sized>) {
        if meeting == CancelBeforeTheFirstPoll {
            task.cancel();
        }
        turns(3).await;
        match meeting {
            CancelBeforeTheFirstPoll => {}
            CancelWhileItWaits => assert!(task.cancel()),
            EndsThenCancel => {
                self.open();
                assert!(task.cancel());
            }
            CancelThenEnds => {
                assert!(task.cancel());
                self.open();
            }
            OneEndsThenCancelThenTheOthers => {
                self.gates[1].open();
                assert!(task.cancel());
                self.open();
            }
            CancelAfterwards => {
                self.open();
                turns(3).await;
                assert!(!task.cancel(), "it has ended");
            }
            Drop => assert!(task.abort()),
        }
        turns(3).await;
    }

    /// Of the tasks none is left, or all that were not let through, and nobody is told of their ends any more.
    fn tasks_left(&self) -> usize {
        let watched = |task: &TaskRef| crate::extras::look(task, |extras| extras.watchers.len()).unwrap_or(0);
        assert!(self.tasks.iter().all(|task| watched(task) == 0), "nobody watches them");
        all_tasks().len() - 1
    }
}

#[test]
fn however_a_cancel_meets_the_ends_nothing_is_left_behind() {
    for waiter in WAITERS {
        for meeting in MEETINGS {
            doc(async move {
                let mut scene = Scene::new();
                let task = scene.waiter(waiter);
                scene.play(meeting, &task).await;
                assert!(task.is_finished(), "{waiter:?}, {meeting:?}");
                match task.await {
                    Ok(count) => {
                        assert_eq!(meeting, CancelAfterwards, "{waiter:?}: the cancel was swallowed");
                        assert_eq!(count, if waiter == Race { 1 } else { 3 });
                    }
                    Err(error) => {
                        assert!(error.is_cancelled() && meeting != CancelAfterwards, "{waiter:?}, {meeting:?}")
                    }
                }
                let shut = matches!(meeting, CancelBeforeTheFirstPoll | CancelWhileItWaits | Drop);
                let go_on = matches!(waiter, AsCompleted | Wait);
                assert_eq!(scene.tasks_left(), if shut && go_on { 3 } else { 0 }, "{waiter:?}, {meeting:?}");
                scene.open();
                turns(3).await;
                assert_eq!((scene.living.0.get(), scene.tasks_left()), (0, 0), "{waiter:?}, {meeting:?}");
            });
        }
    }
}

#[test]
fn who_keeps_what_it_waits_with_loses_no_output_however_a_cancel_meets_the_ends() {
    for when in [When::FirstCompleted, When::FirstException(Result::is_err), When::AllCompleted] {
        for meeting in MEETINGS {
            doc(async move {
                let mut scene = Scene::new();
                let mut waiting = wait(scene.tasks(), when);
                let task = spawn(async move {
                    let Waited { done, pending } = match catch(&mut waiting).await {
                        Ok(waited) => waited,
                        Err(_asked) => waiting.stop(),
                    };
                    assert!(pending.iter().all(|task| task.cancelling() == 0), "nobody was asked");
                    done.len() + gather(pending).await.unwrap().len()
                });
                scene.play(meeting, &task).await;
                scene.open();
                let never = matches!(meeting, CancelBeforeTheFirstPoll | Drop);
                assert_eq!(task.await.ok(), (!never).then_some(3), "{when:?}, {meeting:?}");
                turns(3).await;
                assert_eq!((scene.living.0.get(), scene.tasks_left()), (0, 0), "{when:?}, {meeting:?}");
            });
        }
    }
    for meeting in MEETINGS {
        doc(async move {
            let mut scene = Scene::new();
            let mut ended = as_completed(scene.tasks());
            let task = spawn(async move {
                let mut count = 0;
                while let Ok(Some(_output)) = catch(ended.next()).await {
                    count += 1;
                }
                count + gather(ended.rest()).await.unwrap().len()
            });
            scene.play(meeting, &task).await;
            scene.open();
            let never = matches!(meeting, CancelBeforeTheFirstPoll | Drop);
            assert_eq!(task.await.ok(), (!never).then_some(3), "{meeting:?}");
            turns(3).await;
            assert_eq!((scene.living.0.get(), scene.tasks_left()), (0, 0), "{meeting:?}");
        });
    }
}

/// Each task stands in a catch, and takes some turns for what comes after it. Whoever was asked in its catch has all of
/// them before the cancel goes on; who had left it by itself is asked where nothing catches.
#[test]
fn who_ends_its_tasks_waits_for_their_clean_up_however_a_cancel_meets_their_ends() {
    let asked_in_their_catch =
        [(CancelWhileItWaits, 3), (EndsThenCancel, 0), (CancelThenEnds, 3), (OneEndsThenCancelThenTheOthers, 2)];
    for waiter in [Gather, TryGather, GatherAll] {
        for (meeting, asked) in asked_in_their_catch {
            doc(async move {
                let scene = Scene::new();
                let cleaned = Rc::new(Cell::new(0));
                let clean = |future| {
                    let cleaned = cleaned.clone();
                    spawn(async move {
                        let _either = catch(future).await;
                        turns(4).await;
                        cleaned.set(cleaned.get() + 1);
                        Ok::<_, Slipped>(())
                    })
                };
                let tasks: Vec<_> = scene.futures().into_iter().map(clean).collect();
                let task = match waiter {
                    Gather => spawn(async { drop(gather(tasks).await) }),
                    TryGather => spawn(async { drop(try_gather(tasks).await) }),
                    _ => spawn(async { drop(gather_all(tasks).await) }),
                };
                scene.play(meeting, &task).await;
                assert_eq!(task.is_finished(), asked == 0, "{waiter:?}, {meeting:?}");
                assert!(task.await.unwrap_err().is_cancelled());
                assert_eq!(cleaned.get(), asked, "{waiter:?}, {meeting:?}");
                assert_eq!((scene.living.0.get(), scene.tasks_left()), (0, 0), "{waiter:?}, {meeting:?}");
            });
        }
    }
}

#[test]
fn a_loop_that_ends_while_they_wait_leaves_nothing_behind() {
    for waiter in WAITERS {
        for polled in [false, true] {
            let scene = doc(async move {
                let mut scene = Scene::new();
                let task = scene.waiter(waiter);
                if polled {
                    turns(2).await;
                }
                drop(task);
                scene
            });
            assert_eq!(scene.living.0.get(), 0, "{waiter:?}, polled: {polled}");
            scene.open(); // the wakers that were kept find nobody
        }
    }
}

/// At each touch of its waker: the tasks are ended or let through, and others are spawned.
#[test]
fn a_waker_may_do_anything_to_what_they_wait_for_when_it_is_touched() {
    use crate::tests::{Touch, hook};
    for at in [Touch::Clone, Touch::Wake, Touch::Drop] {
        for ends in [false, true] {
            doc(async move {
                let mut scene = Scene::new();
                let mut all = pin!(gather_all(scene.tasks()));
                turns(2).await;
                let (gates, tasks, touched) = (scene.gates.clone(), scene.tasks.clone(), Rc::new(Cell::new(0)));
                let count = touched.clone();
                let waker = hook(move |touch| {
                    if touch == at {
                        count.set(count.get() + 1);
                        drop(spawn(async {}));
                        gates.iter().for_each(Gate::open);
                        if ends {
                            for task in &tasks {
                                crate::join::abort(task);
                            }
                        }
                    }
                });
                let first = all.as_mut().poll(&mut Context::from_waker(&waker));
                if first.is_pending() {
                    scene.open();
                    turns(2).await;
                    let outcomes = all.as_mut().await; // its waker takes the place of the hooked one
                    assert_eq!(outcomes.len(), 3);
                }
                assert!(touched.get() > 0, "{at:?}");
                drop(waker);
                turns(3).await;
                assert_eq!(scene.tasks_left(), 0, "{at:?}, ends: {ends}");
            });
        }
    }
}
