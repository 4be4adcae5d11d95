"""The MQTT contract, generated from the models: schemas, AsyncAPI and reference pages."""
