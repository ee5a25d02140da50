"""How long a test takes, on the goal and on what could stand in for it, before anybody starts one."""
