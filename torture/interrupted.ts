/** The person at the terminal has had enough. */
export class Interrupted extends Error {}
