/**
 * Port: the connection between a node process and one gateway. In the contract: messages arrive whole and in order; a link
 * that broke says so once by `onClose`, and sending on it does nothing. Not in the contract: that a sent message arrives.
 */
export interface ControlLink<Incoming, Outgoing> {
  send(message: Outgoing): void;
  onMessage(listener: (message: Incoming) => void): void;
  onClose(listener: () => void): void;
  close(): void;
}

/** Where links come in. `restore` makes sure that newcomers find it, also when its name was deleted; open links stay. */
export interface ControlListener {
  restore(): Promise<void>;
  close(): Promise<void>;
}
