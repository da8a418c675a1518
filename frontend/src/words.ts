// How is a choice called on the page?  the value of a setting -> the words a learner reads.

export const OPTIMIZERS: Record<string, string> = {
  sgd: "gradient descent", momentum: "momentum", nesterov: "Nesterov", adam: "Adam", adamw: "AdamW", nadam: "NAdam", rmsprop: "RMSprop",
  adagrad: "Adagrad", adamax: "Adamax", random: "random guessing",
};
export const BATCHES: Record<string, string> = { own: "as given", full: "full batch", mini: "mini-batch", single: "one sample" };

/** Optimizers that have a momentum (beta1 of the Adam family). */
export const WITH_MOMENTUM = ["momentum", "nesterov", "adam", "adamw", "nadam", "adamax"];

export const PANES: Record<string, string> = {
  data: "Data and fit", loss: "Loss curve", rates: "Loss by rate", surface: "Surface", contour: "Contour", map: "Rate and steps",
  rule: "Update rule", verdict: "Verdict", code: "Same in Python", lessons: "Lessons", live: "Recorded", race: "Race",
  find: "Find a rate", download: "Download", share: "Share",
};
