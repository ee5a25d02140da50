from tests.fixtures.feedback import real_time_clock

__all__ = ["real_time_clock"]
