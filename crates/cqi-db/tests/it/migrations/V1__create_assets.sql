CREATE TABLE assets (id bigint PRIMARY KEY);
