/**
 * Work that can wait takes time that is spare, and rents machines only when its slack ends (Chiron, arXiv 2501.08090):
 * when one machine that is rented now, and runs until the deadline, could only just do what spare time won't.
 */

/** All work of a model that has the same deadline. */
export type PatientWork = {
  /** In seconds of slots. */
  workS: number;
  untilDeadlineS: number;
  slots: number;
  bootS: number;
  /** Machines (a fraction is a share of one) that this work can use without renting. */
  spareMachines: number;
};

/** What is left to do is taken for so much more than it seems: rates are guesses. */
const CAUTION = 1.25;

/** Machines to rent for it now; 0 while there is slack. */
export function machinesAtDeadline(work: PatientWork): number {
  if (slackS(work) > 0) return 0;
  const { untilDeadlineS, bootS } = work;
  // Too late for all of it to be in time: then it should be done within another boot.
  const servingS = Math.max(untilDeadlineS - bootS, bootS, 1);
  return Math.ceil(lackS(work) / servingS - 1e-9);
}

/** Until the first machine must be rented for it; Infinity where spare time does it all. */
export function slackS(work: PatientWork): number {
  const lack = lackS(work);
  return lack <= 0 ? Infinity : Math.max(0, work.untilDeadlineS - work.bootS - lack);
}

/** Seconds of a machine that spare time leaves undone at the deadline. */
function lackS({ workS, slots, spareMachines, untilDeadlineS }: PatientWork): number {
  return (CAUTION * workS) / slots - spareMachines * Math.max(0, untilDeadlineS);
}
