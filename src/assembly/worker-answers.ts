/** Questions to all worker threads of a gateway: answers are gathered until the last has come, or for a moment. */

/** A thread that does not get to answer within it is busy, and its part is missing. */
const PATIENCE_MS = 150;

interface Question<Answer> {
  answers: Map<number, Answer>;
  missing: number;
  done(): void;
}

export class WorkerAnswers<Answer> {
  readonly #open = new Map<number, Question<Answer>>();
  #nextId = 0;

  /** `put` sends the question, with its id, to `count` workers. Resolves to answers by the index of the worker. */
  ask(count: number, put: (id: number) => void): Promise<ReadonlyMap<number, Answer>> {
    const id = this.#nextId++;
    const answers = new Map<number, Answer>();
    return new Promise((resolve) => {
      const timer = setTimeout(() => done(), PATIENCE_MS);
      const done = () => {
        clearTimeout(timer);
        this.#open.delete(id);
        resolve(answers);
      };
      if (count === 0) return done();
      this.#open.set(id, { answers, missing: count, done });
      put(id);
    });
  }

  take(id: number, worker: number, answer: Answer): void {
    const question = this.#open.get(id);
    if (question === undefined) return;
    question.answers.set(worker, answer);
    question.missing--;
    if (question.missing <= 0) question.done();
  }
}
