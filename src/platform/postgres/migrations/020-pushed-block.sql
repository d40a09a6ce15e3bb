-- Blocks that were pushed, for the ledgers whose blocks come that way: what a node would keep. A cache of the network's
-- data, not part of the log: rows go away when they are deep enough, or turn out not to be valid.

CREATE TABLE pushed_block (
  ledger text NOT NULL,
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  prev_hash bytea NOT NULL CHECK (octet_length(prev_hash) = 32),
  height integer NOT NULL CHECK (height >= 0),
  -- From the start of the ledger's chain up to and with this block: below 2^256, 78 digits.
  chain_work numeric(78) NOT NULL CHECK (chain_work >= 0),
  -- The order in which they came: of two branches with the same work the first one counts.
  seq bigint GENERATED ALWAYS AS IDENTITY,
  header bytea NOT NULL CHECK (octet_length(header) = 80),
  raw bytea NOT NULL,
  -- Why it can never be connected; null for all others.
  invalid jsonb,
  PRIMARY KEY (ledger, hash)
);

-- Blocks are mostly hashes and signatures: compressing them costs time and saves nothing.
ALTER TABLE pushed_block ALTER COLUMN raw SET STORAGE EXTERNAL;

CREATE INDEX pushed_block_order ON pushed_block (ledger, seq);

COMMENT ON TABLE pushed_block IS 'Raw blocks that were pushed, down to a depth below the tip. Not part of the log.';

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tallystick_app') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON pushed_block TO tallystick_app;
  END IF;
END $$;
