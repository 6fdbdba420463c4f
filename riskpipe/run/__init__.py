"""The only orchestrator: snapshot -> cube -> report, stage by stage."""
