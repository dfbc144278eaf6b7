//! Behaviour of the pool against a real PostgreSQL.
