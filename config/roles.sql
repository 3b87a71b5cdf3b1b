-- Two roles of PostgreSQL for the two applications in one database: neither can read or change what is the other's.
-- Before the first start, as a superuser, in the database that database.url names; may be repeated:
--     psql -v ON_ERROR_STOP=1 -d crossway -f config/roles.sql
-- Then a password for each ("\password crossway", "\password crossway_provisioner"), and in the settings
--     database.url = "postgresql://crossway@HOST/crossway?passfile=/PATH"
--     provision.database_url = "postgresql://crossway_provisioner@HOST/crossway"

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'crossway') THEN
        CREATE ROLE crossway LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'crossway_provisioner') THEN
        CREATE ROLE crossway_provisioner LOGIN;
    END IF;
    -- Whoever is not named here does not come in.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO crossway, crossway_provisioner', current_database());
END
$$;

-- The catalog: a role that makes its tables here, and owns them.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO crossway;

-- The provisioner: a schema that is its own.
CREATE SCHEMA IF NOT EXISTS provisioner AUTHORIZATION crossway_provisioner;
REVOKE ALL ON SCHEMA provisioner FROM PUBLIC;
