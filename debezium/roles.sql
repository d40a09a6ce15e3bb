-- What the connector may do, and what it is sent. Run by 'tallystick cdc setup' (which fills in the password, and may be run
-- again at any time); by hand: as the owner of the database, who may create roles with REPLICATION, after 'tallystick migrate'.
--
-- The role can open a replication slot, and nothing else: it cannot read one table. It needs no SELECT because the connector takes
-- no snapshot (what was committed before the slot consumers read from the outbox), and no right to publish because the
-- publication is made here. Hosted servers: where REPLICATION cannot be given, grant their role for it (rds_replication).
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cdc') THEN
    CREATE ROLE cdc LOGIN REPLICATION CONNECTION LIMIT 4;
  END IF;
END $$;
ALTER ROLE cdc PASSWORD :'password';

-- Inserts only: there is nothing else in the outbox.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'tallystick') THEN
    CREATE PUBLICATION tallystick FOR TABLE public.outbox WITH (publish = 'insert');
  END IF;
END $$;
